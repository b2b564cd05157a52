"""Hello world, the receiving half: prints what comes out of the queue."""

from broker import connect, say


def on_message(_channel, _method, _properties, body):
    say(f"received: {body.decode()}")


channel = connect().channel()
channel.queue_declare("py-hello", durable=True)
channel.basic_consume("py-hello", on_message, auto_ack=True)
say("waiting")
channel.start_consuming()
