"""Publish/subscribe: listens with a queue of its own that goes when it goes."""

from broker import connect, say


def on_message(_channel, _method, _properties, body):
    say(f"received: {body.decode()}")


channel = connect().channel()
channel.exchange_declare("py-logs", "fanout")
queue = channel.queue_declare("", exclusive=True).method.queue
channel.queue_bind(queue, "py-logs")
channel.basic_consume(queue, on_message, auto_ack=True)
say("waiting")
channel.start_consuming()
