"""Hello world, the sending half: one message into one queue."""

from broker import connect, say

connection = connect()
channel = connection.channel()
channel.queue_declare("py-hello", durable=True)
channel.basic_publish("", "py-hello", b"Hello World!")
say("sent: Hello World!")
connection.close()
