"""The task API as it is commonly written: FastAPI, SQLAlchemy and asyncpg, with
the event published to the Dapr sidecar by httpx. Serves what ./dev bench peers
asks for: POST and GET of a task.

PEER_DATABASE   URL of SQLAlchemy
PEER_SIDECAR    the sidecar's address
PEER_TOKEN      its token
PEER_PUBLISH    inline: before the answer; background: after it, by
                BackgroundTasks
"""
import contextlib
import datetime
import os
import uuid
from typing import Literal

import fastapi
import httpx
import pydantic
from fastapi.responses import ORJSONResponse
from sqlalchemy import (ARRAY, BigInteger, Boolean, Column, DateTime, MetaData,
                        Table, Text, func, insert, select)
from sqlalchemy.ext.asyncio import create_async_engine

INLINE = os.environ["PEER_PUBLISH"] == "inline"
PUBLISH = (os.environ["PEER_SIDECAR"]
           + "/v1.0/publish/kafka-pubsub/tasks?metadata.partitionKey=")
HEADERS = {"Content-Type": "application/cloudevents+json",
           "dapr-api-token": os.environ["PEER_TOKEN"]}

# Statements are kept prepared; connections are not asked whether they live.
engine = create_async_engine(
    os.environ["PEER_DATABASE"], pool_size=16, max_overflow=0,
    connect_args={"prepared_statement_cache_size": 500})
tasks = Table(
    "tasks", MetaData(),
    Column("id", BigInteger, primary_key=True),
    Column("user_id", Text), Column("title", Text),
    Column("description", Text), Column("completed", Boolean),
    Column("priority", Text), Column("tags", ARRAY(Text)),
    Column("due_date", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), server_default=func.now()),
    Column("updated_at", DateTime(timezone=True), server_default=func.now()))


class NewTask(pydantic.BaseModel):
    model_config = {"extra": "forbid"}
    title: str = pydantic.Field(min_length=1, max_length=200)
    description: str | None = pydantic.Field(None, max_length=1000)
    completed: bool = False
    priority: Literal["low", "medium", "high"] = "medium"
    tags: list[str] = pydantic.Field(default_factory=list, max_length=10)
    due_date: datetime.datetime | None = None


@contextlib.asynccontextmanager
async def lifespan(app):
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
    async with httpx.AsyncClient(limits=limits, timeout=5.0) as client:
        app.state.client = client
        yield
    await engine.dispose()


app = fastapi.FastAPI(lifespan=lifespan,
                      default_response_class=ORJSONResponse)


async def publish(task):
    """One event. When the sidecar does not take it, it is lost: the request is
    answered all the same, since its task is there."""
    now = datetime.datetime.now(datetime.UTC).isoformat()
    event = {
        "specversion": "1.0", "id": str(uuid.uuid4()), "source": "/tasks",
        "type": "task.created", "subject": f"tasks/{task['id']}",
        "time": now, "datacontenttype": "application/json",
        "data": {"user_id": task["user_id"], "task_id": task["id"],
                 "timestamp": now, "task": task}}
    with contextlib.suppress(httpx.HTTPError):
        answer = await app.state.client.post(
            PUBLISH + task["user_id"], headers=HEADERS,
            content=ORJSONResponse(event).body)
        answer.raise_for_status()


@app.get("/healthz")
async def healthz():
    return {"status": "ok"}


@app.post("/api/{user_id}/tasks", status_code=201)
async def create(user_id: str, new: NewTask,
                 background: fastapi.BackgroundTasks):
    async with engine.begin() as connection:
        row = await connection.execute(
            insert(tasks).values(user_id=user_id, **new.model_dump())
            .returning(*tasks.c))
        task = dict(row.mappings().one())
    if INLINE:
        await publish(task)
    else:
        background.add_task(publish, task)
    return ORJSONResponse(task, 201)


@app.get("/api/{user_id}/tasks/{task_id}")
async def read(user_id: str, task_id: int):
    async with engine.connect() as connection:
        row = await connection.execute(
            select(tasks).where(tasks.c.id == task_id,
                                tasks.c.user_id == user_id))
        task = row.mappings().one_or_none()
    if task is None:
        raise fastapi.HTTPException(404)
    return ORJSONResponse(dict(task))
