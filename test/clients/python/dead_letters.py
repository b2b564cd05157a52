"""Judges dead letters, retries and quorum queues with pika, then with aio-pika."""

import asyncio
import os
import time

import aio_pika
import pika

URL = os.environ["AMQP_URL"]


def pull(channel, queue, seconds=10):
    """The next message of a queue, which may be on its way."""
    deadline = time.time() + seconds
    while time.time() < deadline:
        method, properties, body = channel.basic_get(queue)
        if method is not None:
            return method, properties, body
        time.sleep(0.01)
    raise AssertionError(f"nothing came to {queue}")


def rejected_goes_to_the_dead_letter_exchange(channel):
    channel.exchange_declare("dlx", "fanout")
    channel.queue_declare("dead")
    channel.queue_bind("dead", "dlx")
    channel.queue_declare("jobs", arguments={"x-dead-letter-exchange": "dlx"})
    channel.basic_publish("", "jobs", b"bad", pika.BasicProperties(headers={"own": 1}))
    method, _, _ = pull(channel, "jobs")
    channel.basic_reject(method.delivery_tag, requeue=False)
    method, properties, body = pull(channel, "dead")
    channel.basic_ack(method.delivery_tag)
    death = properties.headers["x-death"][0]
    assert (body, method.exchange, properties.headers["own"]) == (b"bad", "dlx", 1)
    assert (death["queue"], death["reason"], death["count"]) == ("jobs", "rejected", 1), death
    assert death["routing-keys"] == ["jobs"] and death["exchange"] == ""
    assert properties.headers["x-first-death-queue"] == "jobs"


def expired_comes_back_from_the_retry_queue(channel):
    channel.queue_declare("work")
    channel.queue_declare(
        "retry",
        arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "work"},
    )
    for attempt in range(3):
        wait = 50 * 2**attempt
        begun = time.time()
        channel.basic_publish("", "retry", b"job", pika.BasicProperties(expiration=str(wait)))
        method, properties, _ = pull(channel, "work")
        channel.basic_ack(method.delivery_tag)
        assert time.time() - begun >= wait / 1000
        assert properties.expiration is None
        death = properties.headers["x-death"][0]
        assert (death["reason"], death["original-expiration"]) == ("expired", str(wait))


def the_delivery_limit_of_a_quorum_queue(channel):
    channel.queue_declare(
        "limited",
        durable=True,
        arguments={
            "x-queue-type": "quorum",
            "x-delivery-limit": 3,
            "x-dead-letter-exchange": "dlx",
        },
    )
    channel.confirm_delivery()
    channel.basic_publish("", "limited", b"poison")
    for failures in range(4):
        method, properties, _ = pull(channel, "limited")
        assert (properties.headers or {}).get("x-delivery-count", 0) == failures
        channel.basic_reject(method.delivery_tag, requeue=True)
    method, properties, body = pull(channel, "dead")
    channel.basic_ack(method.delivery_tag)
    assert (body, properties.headers["x-first-death-reason"]) == (b"poison", "delivery_limit")


async def with_aio_pika():
    connection = await aio_pika.connect_robust(URL)
    async with connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=10)
        dead = await channel.declare_queue("aio-dead", durable=True)
        jobs = await channel.declare_queue(
            "aio-jobs",
            durable=True,
            arguments={
                "x-queue-type": "quorum",
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": "aio-dead",
            },
        )
        for i in range(20):
            message = aio_pika.Message(str(i).encode(), delivery_mode=2)
            await channel.default_exchange.publish(message, routing_key="aio-jobs")
        async with jobs.iterator() as deliveries:
            seen = 0
            async for message in deliveries:
                if seen % 2:
                    await message.ack()
                else:
                    await message.reject(requeue=False)
                seen += 1
                if seen == 20:
                    break
        bodies = []
        async with dead.iterator() as deliveries:
            async for message in deliveries:
                assert message.headers["x-first-death-queue"] == "aio-jobs"
                bodies.append(int(message.body))
                await message.ack()
                if len(bodies) == 10:
                    break
        assert bodies == list(range(0, 20, 2)), bodies
        await jobs.delete(if_unused=False, if_empty=False)
        await dead.delete()


def main():
    connection = pika.BlockingConnection(pika.URLParameters(URL))
    channel = connection.channel()
    rejected_goes_to_the_dead_letter_exchange(channel)
    expired_comes_back_from_the_retry_queue(channel)
    the_delivery_limit_of_a_quorum_queue(channel)
    for queue in ("dead", "jobs", "work", "retry", "limited"):
        channel.queue_delete(queue)
    channel.exchange_delete("dlx")
    connection.close()
    asyncio.run(with_aio_pika())
    print("dead letters: ok")


main()
