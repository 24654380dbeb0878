-- Deliveries for wrk, told what to send by the environment; ends with the same
-- line as load.lua. Each event is a new one: its id is counted up.
--
--   events   task.created and task.updated in turns, one a request
--   bulk     the same, BENCH_BATCH in a request
--   complete task.completed of the tasks that t/bench/series.sql makes, each once

local mode = os.getenv("BENCH_MODE")
local users = tonumber(os.getenv("BENCH_USERS"))
local batch = tonumber(os.getenv("BENCH_BATCH"))
local run = os.getenv("BENCH_SEED")
local clients = tonumber(os.getenv("BENCH_CLIENTS"))
local at = os.date("!%Y-%m-%dT%H:%M:%S.123456Z")
local n = 0

local function task(user, id, due, more)
    return string.format('{"id":%d,"user_id":"%s","title":"Water the plants",'
        .. '"description":"The ones on the balcony first",%s,"priority":"medium",'
        .. '"tags":["home","garden"],"due_date":%s,'
        .. '"time_zone":"UTC","created_at":"%s","updated_at":"%s"}',
        id, user, more, due, at, at)
end

local function event(type, user, id, data)
    return string.format('{"specversion":"1.0","id":"%08x-0000-4000-8000-%012x",'
        .. '"source":"/taskevents","type":"%s","subject":"tasks/%d","time":"%s",'
        .. '"datacontenttype":"application/json","partitionkey":"%s",'
        .. '"sequence":"%020d","correlationid":"%08x-0000-4000-8000-%012x",'
        .. '"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",'
        .. '"traceid":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",'
        .. '"dataschema":"urn:taskevents:schemas/%s.v1.json","data":{"user_id":"%s",'
        .. '"task_id":%d,"timestamp":"%s","origin":"user",%s},"topic":"tasks",'
        .. '"pubsubname":"kafka-pubsub"}',
        run, n, type, id, at, user, n, run, n, type, user, id, at, data)
end

local open = '"completed":false,"completed_at":null,"is_recurring":false,'
    .. '"recurring_interval":null,"series_id":null,"occurrence":null,"version":1'

local function change()
    local user = math.random(users)
    n = n + 1
    if n % 2 == 0 then
        return event("task.created", user, n, '"task":' .. task(user, n, "null", open))
    end
    return event("task.updated", user, n,
        '"changes":{"title":{"old":"Water","new":"Water the plants"}},"task":'
        .. task(user, n, "null", open))
end

-- As series.sql numbers tasks and series.
local function completion()
    n = n + 1
    local user, id = n % users + 1, 1000000000 + n
    return event("task.completed", user, id, '"task":' .. task(user, id, '"2031-05-04T09:00:00Z"',
        string.format('"completed":true,"completed_at":"%s","is_recurring":true,'
            .. '"recurring_interval":"daily",'
            .. '"series_id":"00000000-0000-4000-8000-%012x","occurrence":1,'
            .. '"version":2', at, n)))
end

local function entries()
    local list = {}
    for i = 1, batch do
        list[i] = string.format('{"entryId":"%d","event":%s,"metadata":{},'
            .. '"contentType":"application/cloudevents+json"}', i, change())
    end
    return '{"entries":[' .. table.concat(list, ",") .. '],"id":"7f1d",'
        .. '"metadata":{},"pubsubname":"kafka-pubsub","topic":"tasks",'
        .. '"type":"com.dapr.event.sent.bulk"}'
end

local makers = { events = change, bulk = entries, complete = completion }

function init(args)
    math.randomseed(os.time() + tonumber(run, 16))
    wrk.headers["Content-Type"] = "application/cloudevents+json"
    wrk.headers["dapr-api-token"] = os.getenv("BENCH_TOKEN")
    run = tonumber(run, 16)
end

function request()
    return wrk.format("POST", "/api/events/tasks", nil, makers[mode]())
end

function done(summary, latency, requests)
    local e = summary.errors
    io.write(string.format("RESULT %d %.6f %d %d %.2f %.2f\n",
        summary.requests, summary.duration / 1e6, e.status,
        e.connect + e.read + e.write + e.timeout,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
