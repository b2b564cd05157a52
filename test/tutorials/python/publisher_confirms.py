"""Publisher confirms: a blocking client waits for each one, or is told what came back."""

import pika
from broker import connect, say

COUNT = 200

connection = connect()
channel = connection.channel()
channel.confirm_delivery()
queue = channel.queue_declare("", exclusive=True).method.queue
for i in range(COUNT):
    channel.basic_publish("", queue, str(i).encode(), mandatory=True)
count = channel.queue_declare(queue, passive=True).method.message_count
say(f"one by one: {count} confirmed")
try:
    channel.basic_publish("", "py-nobody", b"x", mandatory=True)
except pika.exceptions.UnroutableError as error:
    say(f"returned: {len(error.messages)}")
connection.close()
