"""Judges a broker with aio-pika: exits with an error when anything is not as it should be."""

import asyncio
import os

import aio_pika
from aio_pika.patterns import RPC

MESSAGES = 1000
URL = os.environ["AMQP_URL"]


async def publish_and_consume(channel, queue):
    publishes = [
        channel.default_exchange.publish(
            aio_pika.Message(
                str(i).encode(),
                headers={"n": i},
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            ),
            routing_key=queue.name,
        )
        for i in range(MESSAGES)
    ]
    await asyncio.gather(*publishes)
    await channel.set_qos(prefetch_count=100)
    got = []
    async with queue.iterator(timeout=10) as messages:
        async for message in messages:
            async with message.process():
                assert message.headers["n"] == int(message.body)
                got.append(int(message.body))
            if len(got) == MESSAGES:
                break
    assert got == list(range(MESSAGES)), "out of order"


async def mandatory_return(channel):
    try:
        await channel.default_exchange.publish(
            aio_pika.Message(b"x"), routing_key="no-such-queue", mandatory=True
        )
    except aio_pika.exceptions.DeliveryError:
        return
    raise AssertionError("an unroutable message was not returned")


async def get_and_requeue(channel, queue):
    await channel.default_exchange.publish(aio_pika.Message(b"x"), routing_key=queue.name)
    first = await queue.get()
    assert not first.redelivered
    await first.nack(requeue=True)
    second = await queue.get()
    assert second.redelivered and second.body == b"x"
    await second.reject(requeue=False)
    assert await queue.get(fail=False) is None


async def large_body(channel, queue):
    body = os.urandom(4 * 1024 * 1024)
    await channel.default_exchange.publish(aio_pika.Message(body), routing_key=queue.name)
    got = await queue.get(no_ack=True)
    assert got.body == body, "a large body changed"


async def transactions(connection, queue):
    async with connection.channel(publisher_confirms=False) as channel:
        async with channel.transaction():
            await channel.default_exchange.publish(aio_pika.Message(b"kept"), queue.name)
        transaction = channel.transaction()
        await transaction.select()
        await channel.default_exchange.publish(aio_pika.Message(b"dropped"), queue.name)
        await transaction.rollback()
    assert (await queue.get(no_ack=True)).body == b"kept"
    assert await queue.get(fail=False) is None


async def remote_calls(connection):
    async def multiply(*, x, y):
        return x * y

    async with connection.channel() as channel:
        rpc = await RPC.create(channel)
        name = f"aio-pika-multiply-{os.getpid()}"
        await rpc.register(name, multiply, auto_delete=True)
        assert await rpc.call(name, {"x": 6, "y": 7}) == 42
        await rpc.close()


async def heartbeats():
    connection = await aio_pika.connect_robust(URL, heartbeat=1)
    async with connection:
        channel = await connection.channel()
        await asyncio.sleep(3.5)
        await channel.declare_queue(exclusive=True)


async def main():
    connection = await aio_pika.connect_robust(URL)
    async with connection:
        channel = await connection.channel(on_return_raises=True)
        queue = await channel.declare_queue(f"aio-pika-{os.getpid()}", durable=True)
        await publish_and_consume(channel, queue)
        await mandatory_return(channel)
        await get_and_requeue(channel, queue)
        await large_body(channel, queue)
        await transactions(connection, queue)
        await remote_calls(connection)
        await heartbeats()
        await queue.delete(if_unused=False, if_empty=False)


asyncio.run(main())
