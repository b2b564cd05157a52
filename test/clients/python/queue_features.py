"""What the guides say of queues and exchanges, with pika and with aio-pika: exits with an error when
anything is not as it should be."""

import asyncio
import os
import time

import aio_pika
import pika
from pika.exceptions import NackError

URL = os.environ["AMQP_URL"]


def fresh(channel, name, arguments=None):
    channel.queue_delete(name)
    channel.queue_declare(name, durable=True, arguments=arguments)
    return name


def pull(channel, queue, seconds=10):
    """The next message; None when none has come in time."""
    end = time.time() + seconds
    while time.time() < end:
        method, properties, body = channel.basic_get(queue, auto_ack=True)
        if method is not None:
            return properties, body
        time.sleep(0.02)
    return None


def bodies(channel, queue, count):
    found = [pull(channel, queue) for _ in range(count)]
    assert all(found), f"{queue} has too few messages"
    assert channel.basic_get(queue)[0] is None, f"{queue} has too many messages"
    return [body for _, body in found]


def time_to_live(channel):
    queue = fresh(channel, "guide-ttl", {"x-message-ttl": 60_000})
    expires = pika.BasicProperties(expiration="50")
    channel.basic_publish("", queue, b"short", expires)
    channel.basic_publish("", queue, b"long")
    time.sleep(0.3)
    assert bodies(channel, queue, 1) == [b"long"]
    channel.queue_declare("guide-lease", arguments={"x-expires": 100})
    time.sleep(0.6)
    other = channel.connection.channel()
    try:
        other.queue_declare("guide-lease", passive=True)
    except pika.exceptions.ChannelClosedByBroker as error:
        assert error.reply_code == 404
    else:
        raise AssertionError("an unused queue did not expire")


def dead_letters_of_a_full_queue(channel):
    dead = fresh(channel, "guide-dead")
    arguments = {
        "x-max-length": 2,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": dead,
    }
    queue = fresh(channel, "guide-full", arguments)
    for body in (b"1", b"2", b"3"):
        channel.basic_publish("", queue, body)
    properties, body = pull(channel, dead)
    assert (body, properties.headers["x-first-death-reason"]) == (b"1", "maxlen")
    assert bodies(channel, queue, 2) == [b"2", b"3"]


def a_full_queue_that_refuses(channel):
    arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
    queue = fresh(channel, "guide-refuses", arguments)
    confirmed = channel.connection.channel()
    confirmed.confirm_delivery()
    confirmed.basic_publish("", queue, b"1")
    try:
        confirmed.basic_publish("", queue, b"2")
    except NackError:
        pass
    else:
        raise AssertionError("a message too many was confirmed")
    assert bodies(channel, queue, 1) == [b"1"]


def priorities(channel):
    queue = fresh(channel, "guide-priorities", {"x-max-priority": 10})
    for priority in (1, 9, 5):
        properties = pika.BasicProperties(priority=priority)
        channel.basic_publish("", queue, str(priority).encode(), properties)
    assert bodies(channel, queue, 3) == [b"9", b"5", b"1"]


def consumer_priorities(channel):
    queue = fresh(channel, "guide-consumers")
    got = []

    def consume(name, priority):
        def take(_channel, method, _properties, _body):
            got.append(name)
            channel.basic_ack(method.delivery_tag)

        channel.basic_consume(queue, take, arguments={"x-priority": priority})

    consume("low", 0)
    consume("high", 10)
    for _ in range(20):
        channel.basic_publish("", queue, b"m")
    end = time.time() + 10
    while len(got) < 20 and time.time() < end:
        channel.connection.process_data_events(0.1)
    assert got == ["high"] * 20, got


def single_active_consumer(connection):
    channel = connection.channel()
    queue = fresh(channel, "guide-active", {"x-single-active-consumer": True})
    got = []

    def take(name):
        def on_message(taker, method, _properties, body):
            got.append((name, body))
            taker.basic_ack(method.delivery_tag)

        return on_message

    first, second = connection.channel(), connection.channel()
    tag = first.basic_consume(queue, take("first"))
    second.basic_consume(queue, take("second"))
    for expected in ("first", "second"):
        channel.basic_publish("", queue, expected.encode())
        end = time.time() + 10
        while (expected, expected.encode()) not in got and time.time() < end:
            connection.process_data_events(0.1)
        if expected == "first":
            first.basic_cancel(tag)
    assert got == [("first", b"first"), ("second", b"second")], got


def alternate_and_bound_exchanges(channel):
    for exchange in ("guide-direct", "guide-unrouted", "guide-source"):
        channel.exchange_delete(exchange)
    channel.exchange_declare("guide-unrouted", "fanout")
    arguments = {"alternate-exchange": "guide-unrouted"}
    channel.exchange_declare("guide-direct", "direct", arguments=arguments)
    channel.exchange_declare("guide-source", "topic")
    channel.exchange_bind("guide-direct", "guide-source", "to.#")
    routed, unrouted = fresh(channel, "guide-routed"), fresh(channel, "guide-lost")
    channel.queue_bind(routed, "guide-direct", "to.here")
    channel.queue_bind(unrouted, "guide-unrouted")
    for key in ("to.here", "to.nowhere", "elsewhere"):
        channel.basic_publish("guide-source", key, key.encode())
    assert bodies(channel, routed, 1) == [b"to.here"]
    assert bodies(channel, unrouted, 1) == [b"to.nowhere"]


def quorum_queues(channel):
    queue = fresh(channel, "guide-quorum", {"x-queue-type": "quorum"})
    confirmed = channel.connection.channel()
    confirmed.confirm_delivery()
    for i in range(100):
        confirmed.basic_publish("", queue, str(i).encode(), mandatory=True)
    assert bodies(channel, queue, 100) == [str(i).encode() for i in range(100)]
    confirmed.basic_publish("", queue, b"again")
    method, _, _ = confirmed.basic_get(queue)
    confirmed.basic_nack(method.delivery_tag)
    end = time.time() + 10
    method = None
    while method is None and time.time() < end:
        method, properties, _ = confirmed.basic_get(queue)
    assert method.redelivered and properties.headers["x-acquired-count"] == 1, properties.headers
    confirmed.basic_ack(method.delivery_tag)


async def with_aio_pika():
    connection = await aio_pika.connect_robust(URL)
    async with connection:
        channel = await connection.channel(publisher_confirms=True)
        exchange = channel.default_exchange
        dead = await channel.declare_queue("guide-aio-dead", durable=True)
        await dead.purge()
        arguments = {
            "x-queue-type": "quorum",
            "x-message-ttl": 50,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": dead.name,
        }
        queue = await channel.declare_queue("guide-aio", durable=True, arguments=arguments)
        await asyncio.gather(
            *(exchange.publish(aio_pika.Message(b"%d" % i), queue.name) for i in range(50))
        )
        reasons = set()
        async with dead.iterator(timeout=10) as messages:
            count = 0
            async for message in messages:
                async with message.process():
                    reasons.add(message.headers["x-first-death-reason"])
                count += 1
                if count == 50:
                    break
        assert reasons == {"expired"}, reasons
        arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
        await channel.queue_delete("guide-aio-full")
        full = await channel.declare_queue("guide-aio-full", arguments=arguments)
        await exchange.publish(aio_pika.Message(b"1"), full.name)
        try:
            await exchange.publish(aio_pika.Message(b"2"), full.name)
        except aio_pika.exceptions.DeliveryError:
            pass
        else:
            raise AssertionError("a message too many was confirmed")
        prioritised = await channel.declare_queue(
            "guide-aio-priorities", arguments={"x-max-priority": 3}, auto_delete=True
        )
        for priority in (0, 3, 1):
            message = aio_pika.Message(b"%d" % priority, priority=priority)
            await exchange.publish(message, prioritised.name)
        order = [(await prioritised.get(no_ack=True)).body for _ in range(3)]
        assert order == [b"3", b"1", b"0"], order


def main():
    connection = pika.BlockingConnection(pika.URLParameters(URL))
    channel = connection.channel()
    for check in (
        time_to_live,
        dead_letters_of_a_full_queue,
        a_full_queue_that_refuses,
        priorities,
        alternate_and_bound_exchanges,
        quorum_queues,
        consumer_priorities,
    ):
        check(channel)
    single_active_consumer(connection)
    connection.close()
    asyncio.run(with_aio_pika())


main()
