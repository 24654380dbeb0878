-- Load for wrk, told what to ask for by the environment; ends with one line:
-- requests, seconds, answers that were no 2xx, failed connections, p50 and p99
-- in ms.

local mode = os.getenv("BENCH_MODE")
local users = tonumber(os.getenv("BENCH_USERS"))
local tasks = tonumber(os.getenv("BENCH_TASKS"))
local token = os.getenv("BENCH_TOKEN")
local body = os.getenv("BENCH_BODY")

-- The ids of task i of user u as t/bench/tasks.sql makes them.
local function task_id(u, i)
    return (u - 1) * tasks + i
end

local makers = {
    post = function(u)
        return wrk.format("POST", "/api/" .. u .. "/tasks", nil, body)
    end,
    get = function(u)
        return wrk.format("GET", "/api/" .. u .. "/tasks/"
            .. task_id(u, math.random(tasks)))
    end,
    list = function(u)
        return wrk.format("GET", "/api/" .. u .. "/tasks?limit=20")
    end,
    static = function()
        return wrk.format("GET", "/task.json")
    end,
}

-- The texts are made before the clock starts.
local texts, known = {}, 10000

function init(args)
    math.randomseed(os.time() + (tonumber(os.getenv("BENCH_SEED")) or 0))
    if token and token ~= "" then
        wrk.headers["Authorization"] = "Bearer " .. token
    end
    if mode == "post" then
        wrk.headers["Content-Type"] = "application/json"
    end
    for i = 1, known do
        texts[i] = makers[mode](math.random(users))
    end
end

function request()
    return texts[math.random(known)]
end

function done(summary, latency, requests)
    local e = summary.errors
    io.write(string.format("RESULT %d %.6f %d %d %.2f %.2f\n",
        summary.requests, summary.duration / 1e6, e.status,
        e.connect + e.read + e.write + e.timeout,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
