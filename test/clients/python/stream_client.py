"""What users of rstream do: confirmed publishing, deduplication, offsets, batches, super streams."""

import asyncio
import os
import uuid

from rstream import (
    AMQPMessage,
    CompressionType,
    Consumer,
    ConsumerOffsetSpecification,
    FilterConfiguration,
    OffsetNotFound,
    OffsetSpecification,
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


async def begins_at_offsets(stream):
    for at in (0, 123, 499):
        offset = ConsumerOffsetSpecification(OffsetType.OFFSET, at)
        expected = [f"m{i}" for i in range(at, 500)]
        assert await read(stream, offset, 500 - at) == expected, at


async def takes_each_id_once(stream):
    async with Producer(**LOGIN) as producer:
        await producer.create_stream(stream, exists_ok=True)
        for i in [1, 2, 3, 2, 3, 4]:
            body = message(f"m{i}")
            body.publishing_id = i
            await producer.send_wait(stream, body, publisher_name="writer")
    first = ConsumerOffsetSpecification(OffsetType.FIRST)
    assert await read(stream, first, 4) == ["m1", "m2", "m3", "m4"]


async def filters(stream):
    async def value(got):
        return got.application_properties["fruit"]

    async with Producer(**LOGIN, filter_value_extractor=value) as producer:
        await producer.create_stream(stream, exists_ok=True)
        for fruit in ("apple", "pear", "apple"):
            body = AMQPMessage(body=bytes(fruit, "utf-8"), application_properties={"fruit": fruit})
            # Confirmed one by one, each is a chunk of its own.
            await producer.send_wait(stream, body)
    first = ConsumerOffsetSpecification(OffsetType.FIRST)
    wanted = FilterConfiguration(values_to_filter=["apple"], match_unfiltered=False)
    assert await read(stream, first, 2, filter_input=wanted) == ["apple", "apple"]


async def one_is_active(stream):
    """Of two consumers of a name the second one is served when the first one has gone."""
    bodies = {0: [], 1: []}
    consumers = []

    async def begin(is_active, context):
        return OffsetSpecification(OffsetType.OFFSET, 490)

    for i in range(2):
        consumer = Consumer(**LOGIN)
        await consumer.start()
        await consumer.subscribe(
            stream=stream,
            callback=lambda got, context, i=i: bodies[i].append(got.body),
            decoder=amqp_decoder,
            properties={"single-active-consumer": "true", "name": "group", "super-stream": ""},
            consumer_update_listener=begin,
        )
        consumers.append(consumer)
        await until(lambda: len(bodies[0]) == 10)
    assert bodies[1] == [], "two consumers were active"
    await consumers[0].close()
    await until(lambda: len(bodies[1]) == 10)
    await consumers[1].close()


async def until(condition):
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("not in time")


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
    await begins_at_offsets(f"py-{run}")
    await stores_offsets(f"py-{run}")
    await one_is_active(f"py-{run}")
    await takes_each_id_once(f"py-once-{run}")
    await filters(f"py-filters-{run}")
    await takes_batches(f"py-batches-{run}")
    await has_super_streams(f"py-super-{run}")
    print("rstream: all well")


asyncio.run(main())
