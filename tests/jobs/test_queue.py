"""What lies in Redis, and what happens without it."""

import inspect
import json
import time
from uuid import uuid4

import pytest
from arq.worker import Worker, func
from redis.exceptions import RedisError

from api.local.redis_server import find_binary
from jobs.queue import EVENTS_CHANNEL, QUEUE_NAME, Work, deserialise, open_queue, redis_settings
from jobs.service import Service
from jobs.worker import WorkerSettings
from tests.valkey import Valkey


async def test_a_hint_lies_in_redis_as_json_with_an_id_and_nothing_else(service: Service) -> None:
    row_id = uuid4()
    assert await service.queue.enqueue(Work.EXPORT, row_id, 3)
    redis = service.queue.redis
    stored = await redis.get(f"arq:job:export:{row_id}:3")
    message = json.loads(stored)
    assert message.pop("et") == pytest.approx(time.time() * 1000, abs=5000)
    assert message == {"t": None, "f": "export", "a": [str(row_id)], "k": {}}
    assert deserialise(stored)["f"] == "export"
    assert await redis.zrange(QUEUE_NAME, 0, -1) == [f"export:{row_id}:3".encode()]


async def test_a_hint_sent_twice_is_worth_one(service: Service) -> None:
    row_id = uuid4()
    assert await service.queue.enqueue(Work.TRAIN, row_id, 1)
    assert await service.queue.enqueue(Work.TRAIN, row_id, 1)
    assert await service.queue.redis.zcard(QUEUE_NAME) == 1


async def test_a_published_message_names_the_job_and_the_number(service: Service) -> None:
    job_id = uuid4()
    async with service.queue.redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe(EVENTS_CHANNEL)
        await pubsub.get_message(timeout=1)
        await service.queue.publish(job_id, 7)
        message = None
        while message is None:
            message = await pubsub.get_message(timeout=1)
    assert message["data"] == f"{job_id} 7".encode()


async def test_without_redis_nothing_fails_a_caller() -> None:
    async with open_queue("redis://127.0.0.1:1/0") as queue:
        started = time.monotonic()
        assert await queue.enqueue(Work.TRAIN, uuid4(), 1) is False
        await queue.publish(uuid4(), 1)
        assert time.monotonic() - started < 5
        with pytest.raises(RedisError):
            await queue.ping()


async def test_a_restart_of_redis_costs_no_hint(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    valkey = Valkey(find_binary(), tmp_path_factory.mktemp("valkey"))
    valkey.start()
    try:
        async with open_queue(valkey.url) as queue:
            assert await queue.enqueue(Work.TRAIN, uuid4(), 1) is True
            valkey.stop()
            assert await queue.enqueue(Work.TRAIN, uuid4(), 1) is False
            valkey.start()
            assert await queue.enqueue(Work.TRAIN, uuid4(), 1) is True
            valkey.stop()
            valkey.start()
            assert await queue.enqueue(Work.TRAIN, uuid4(), 1) is True
    finally:
        valkey.stop()


def test_every_default_of_arq_that_we_rely_on_is_stated() -> None:
    options = WorkerSettings.options()
    stated = set(options) | {"redis_settings"}
    left_to_arq = {
        *("functions", "cron_jobs", "redis_pool", "burst", "max_burst_jobs", "ctx"),
        *("on_startup", "on_shutdown", "on_job_start", "on_job_end", "after_job_end"),
        *("keep_result_forever", "queue_read_limit", "health_check_key"),
        "job_completion_wait",
    }
    known = set(inspect.signature(Worker).parameters)
    assert set(options) <= known
    assert known - stated - left_to_arq == set()


@pytest.mark.filterwarnings("ignore:Call to deprecated close")  # by arq itself
async def test_arq_takes_our_options(service: Service) -> None:
    woken: list[object] = []

    async def wake(ctx: dict[object, object], row_id: str) -> None:
        del ctx
        woken.append(row_id)

    options = WorkerSettings.options() | {
        "redis_settings": redis_settings(service.settings.redis_url)
    }
    worker = Worker([func(wake, name="train")], burst=True, **options)
    row_id = uuid4()
    await service.queue.enqueue(Work.TRAIN, row_id, 1)
    await worker.async_run()
    await worker.close()
    assert woken == [str(row_id)]
    assert await service.queue.redis.zcard(QUEUE_NAME) == 0
