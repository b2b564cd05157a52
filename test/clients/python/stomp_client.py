"""What users of stomp.py do: listeners, acknowledgements, transactions, receipts, durable topics."""

import os
import threading

import stomp

HOST = os.environ["STOMP_HOST"]
PORT = int(os.environ["STOMP_PORT"])


class Listener(stomp.ConnectionListener):
    """Keeps what comes, and lets others wait for it."""

    def __init__(self):
        self.messages = []
        self.receipts = []
        self.errors = []
        self.heard = threading.Condition()

    def on_message(self, frame):
        self._keep(self.messages, frame)

    def on_receipt(self, frame):
        self._keep(self.receipts, frame.headers["receipt-id"])

    def on_error(self, frame):
        self._keep(self.errors, frame)

    def _keep(self, into, what):
        with self.heard:
            into.append(what)
            self.heard.notify_all()

    def wait(self, what, condition):
        with self.heard:
            assert self.heard.wait_for(condition, timeout=15), what


def login(kind=stomp.Connection12, **options):
    connection = kind([(HOST, PORT)], heartbeats=(2000, 2000), vhost="/", **options)
    listener = Listener()
    connection.set_listener("test", listener)
    connection.connect("guest", "guest", wait=True)
    return connection, listener


def check_messages(kind):
    connection, listener = login(kind)
    queue = f"/queue/stomp.py-{kind.__name__}"
    connection.subscribe(queue, id="1", ack="client-individual")
    bodies = ["one", "two \u2603", "x" * 100_000]
    for body in bodies:
        connection.send(queue, body, headers={"kind": "a:b", "persistent": "true"})
    listener.wait("all messages", lambda: len(listener.messages) == 3)
    assert [frame.body for frame in listener.messages] == bodies
    assert listener.messages[0].headers["kind"] == "a:b"
    for frame in listener.messages:
        if kind is stomp.Connection12:
            connection.ack(frame.headers["ack"])
        else:
            connection.ack(frame.headers["message-id"], "1")
    connection.disconnect(receipt="bye")
    listener.wait("the receipt", lambda: "bye" in listener.receipts)
    connection, listener = login(kind)
    connection.subscribe(queue, id="1")
    connection.send(queue, "last", receipt="sent")
    listener.wait("the last message", lambda: len(listener.messages) == 1)
    assert listener.messages[0].body == "last"
    listener.wait("its receipt", lambda: "sent" in listener.receipts)
    connection.disconnect()


def check_transactions():
    connection, listener = login()
    connection.subscribe("/topic/stomp.py.tx", id="t")
    transaction = connection.begin()
    connection.send("/topic/stomp.py.tx", "in", transaction=transaction)
    connection.send("/topic/stomp.py.tx", "out")
    listener.wait("the one outside", lambda: len(listener.messages) == 1)
    connection.commit(transaction)
    listener.wait("the one inside", lambda: len(listener.messages) == 2)
    assert [frame.body for frame in listener.messages] == ["out", "in"]
    gone = connection.begin()
    connection.send("/topic/stomp.py.tx", "never", transaction=gone)
    connection.abort(gone)
    connection.disconnect()


def check_durable_topic():
    headers = {"durable": "true", "auto-delete": "false"}
    connection, _ = login()
    connection.subscribe("/topic/stomp.py.kept", id="keeper", headers={**headers, "receipt": "s"})
    connection.disconnect(receipt="d")
    connection, listener = login()
    connection.send("/topic/stomp.py.kept", "kept", headers={"persistent": "true"})
    connection.subscribe("/topic/stomp.py.kept", id="keeper", headers=headers)
    listener.wait("what came meanwhile", lambda: len(listener.messages) == 1)
    connection.unsubscribe(id="keeper", headers={"durable": "true"})
    connection.disconnect(receipt="u")


def check_errors():
    connection, listener = login()
    connection.send("/queue/a/b", "nowhere")
    listener.wait("the error", lambda: len(listener.errors) == 1)
    assert listener.errors[0].headers["message"] == "Invalid destination"
    connection.disconnect()
    connection = stomp.Connection12([(HOST, PORT)], vhost="/", reconnect_attempts_max=1)
    refused = Listener()
    connection.set_listener("test", refused)
    try:
        connection.connect("guest", "wrong", wait=True)
    except stomp.exception.ConnectFailedException:
        pass
    refused.wait("the refusal", lambda: len(refused.errors) >= 1)
    assert refused.errors[0].headers["message"] == "Bad CONNECT"


for version in (stomp.Connection11, stomp.Connection12):
    check_messages(version)
check_transactions()
check_durable_topic()
check_errors()
print("stomp.py: all as expected")
