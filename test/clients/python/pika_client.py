"""Judges a broker with pika: exits with an error when anything is not as it should be."""

import os
import time

import pika

MESSAGES = 1000
URL = os.environ["AMQP_URL"]


def connect(**options):
    parameters = pika.URLParameters(URL)
    for key, value in options.items():
        setattr(parameters, key, value)
    return pika.BlockingConnection(parameters)


def publish_with_confirms(channel, queue):
    channel.queue_declare(queue, durable=True)
    channel.confirm_delivery()
    persistent = pika.BasicProperties(delivery_mode=2, headers={"n": 1, "text": "grüße"})
    for i in range(MESSAGES):
        channel.basic_publish("", queue, str(i).encode(), persistent, mandatory=True)
    count = channel.queue_declare(queue, passive=True).method.message_count
    assert count == MESSAGES, count


def consume_with_acks(channel, queue):
    channel.basic_qos(prefetch_count=50)
    got = []
    for method, properties, body in channel.consume(queue, inactivity_timeout=10):
        assert method is not None, f"only {len(got)} messages came"
        assert properties.headers == {"n": 1, "text": "grüße"}, properties.headers
        got.append(int(body))
        channel.basic_ack(method.delivery_tag)
        if len(got) == MESSAGES:
            break
    channel.cancel()
    assert got == list(range(MESSAGES)), "out of order"
    assert channel.queue_declare(queue, passive=True).method.message_count == 0


def mandatory_return(channel):
    try:
        channel.basic_publish("", "no-such-queue", b"x", mandatory=True)
    except pika.exceptions.UnroutableError as error:
        assert error.messages[0].method.reply_code == 312
    else:
        raise AssertionError("an unroutable message was not returned")


def get_and_requeue(channel, queue):
    channel.basic_publish("", queue, b"first")
    channel.basic_publish("", queue, b"second")
    method, _, body = channel.basic_get(queue)
    assert (body, method.redelivered, method.message_count) == (b"first", False, 1)
    channel.basic_nack(method.delivery_tag, requeue=True)
    method, _, body = channel.basic_get(queue)
    assert (body, method.redelivered) == (b"first", True)
    channel.basic_ack(method.delivery_tag)
    method, _, body = channel.basic_get(queue)
    channel.basic_reject(method.delivery_tag, requeue=False)
    assert channel.basic_get(queue) == (None, None, None)


def large_body(channel, queue):
    body = os.urandom(4 * 1024 * 1024)
    channel.basic_publish("", queue, body)
    _, _, got = channel.basic_get(queue, auto_ack=True)
    assert got == body, "a large body changed"


def heartbeats():
    connection = connect(heartbeat=1)
    channel = connection.channel()
    connection.sleep(3.5)
    channel.queue_declare("", exclusive=True)
    connection.close()


def cancel_notification(channel, queue):
    cancelled = []
    channel.add_on_cancel_callback(cancelled.append)
    channel.basic_consume(queue, lambda *_: None)
    channel.connection.channel().queue_delete(queue)
    deadline = time.monotonic() + 5
    while not cancelled and time.monotonic() < deadline:
        channel.connection.process_data_events(0.1)
    assert cancelled, "no cancel notification"


def channel_error(connection):
    channel = connection.channel()
    try:
        channel.queue_declare("no-such-queue", passive=True)
    except pika.exceptions.ChannelClosedByBroker as error:
        assert error.reply_code == 404, error
    else:
        raise AssertionError("a missing queue was found")


def main():
    connection = connect()
    channel = connection.channel()
    queue = f"pika-{os.getpid()}"
    publish_with_confirms(channel, queue)
    consume_with_acks(channel, queue)
    mandatory_return(channel)
    get_and_requeue(channel, queue)
    large_body(channel, queue)
    heartbeats()
    cancel_notification(channel, queue)
    channel_error(connection)
    connection.close()


if __name__ == "__main__":
    main()
