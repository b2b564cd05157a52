"""What users of rstream do: confirmed publishing, deduplication, offsets, batches, super streams."""

import asyncio
import os
import uuid

from rstream import (
    AMQPMessage,
    CompressionType,
    Consumer,
    ConsumerOffsetSpecification,
    OffsetNotFound,
    OffsetType,
    Producer,
    SuperStreamConsumer,
    SuperStreamProducer,
    amqp_decoder,
)

LOGIN = {
    "host": os.environ["STREAM_HOST"],
    "port": int(os.environ["STREAM_PORT"]),
    "vhost": "/",
    "username": "guest",
    "password": "guest",
}


def message(text):
    return AMQPMessage(body=bytes(text, "utf-8"))


async def read(stream, offset, count, **options):
    """The first `count` bodies from `offset` on."""
    bodies = []
    consumer = Consumer(**LOGIN)

    async def take(got, context):
        bodies.append((got.body.decode() if isinstance(got.body, bytes) else str(got.body)))
        if len(bodies) == count:
            consumer.stop()

    await consumer.start()
    await consumer.subscribe(
        stream=stream, callback=take, decoder=amqp_decoder, offset_specification=offset, **options
    )
    await asyncio.wait_for(consumer.run(), timeout=20)
    await consumer.close()
    return bodies[:count]


async def publishes_and_reads(stream):
    async with Producer(**LOGIN) as producer:
        await producer.create_stream(stream, exists_ok=True)
        await producer.create_stream(stream, exists_ok=True)
        for i in range(500):
            await producer.send_wait(stream, message(f"m{i}"))
    first = ConsumerOffsetSpecification(OffsetType.FIRST)
    assert await read(stream, first, 500) == [f"m{i}" for i in range(500)]


async def takes_batches(stream):
    async with Producer(**LOGIN) as producer:
        await producer.create_stream(stream, exists_ok=True)
        for kind in (CompressionType.No, CompressionType.Gzip):
            batch = [message(f"{kind.name}{i}") for i in range(10)]
            await producer.send_sub_entry(stream, sub_entry_messages=batch, compression_type=kind)
    first = ConsumerOffsetSpecification(OffsetType.FIRST)
    bodies = await read(stream, first, 20)
    assert bodies[0] == "No0" and bodies[19] == "Gzip9", bodies


async def stores_offsets(stream):
    consumer = Consumer(**LOGIN)
    await consumer.start()
    try:
        await consumer.query_offset(stream=stream, subscriber_name="reader")
        raise AssertionError("an offset that nobody has stored")
    except OffsetNotFound:
        pass
    await consumer.store_offset(stream=stream, subscriber_name="reader", offset=250)
    await asyncio.sleep(0.5)
    stored = await consumer.query_offset(stream=stream, subscriber_name="reader")
    assert stored == 250, stored
    await consumer.close()


async def has_super_streams(name):
    async def key(got):
        return got.application_properties["id"]

    async with SuperStreamProducer(
        **LOGIN,
        super_stream=name,
        routing_extractor=key,
        super_stream_creation_option=creation(),
    ) as producer:
        for i in range(60):
            await producer.send(
                AMQPMessage(body=bytes(f"s{i}", "utf-8"), application_properties={"id": str(i)})
            )
    bodies = []
    consumer = SuperStreamConsumer(**LOGIN, super_stream=name)

    async def take(got, context):
        bodies.append(got.body)
        if len(bodies) == 60:
            consumer.stop()

    await consumer.start()
    await consumer.subscribe(
        callback=take,
        decoder=amqp_decoder,
        offset_specification=ConsumerOffsetSpecification(OffsetType.FIRST),
    )
    await asyncio.wait_for(consumer.run(), timeout=20)
    await consumer.close()
    assert len(set(bodies)) == 60


def creation():
    from rstream import SuperStreamCreationOption

    return SuperStreamCreationOption(n_partitions=3)


async def main():
    run = uuid.uuid4().hex[:8]
    await publishes_and_reads(f"py-{run}")
    await stores_offsets(f"py-{run}")
    await takes_batches(f"py-batches-{run}")
    await has_super_streams(f"py-super-{run}")
    print("rstream: all well")


asyncio.run(main())
