"""AMQP 1.0 with Qpid Proton: publish, consume, outcomes, drain, refusals."""

import os
import uuid
from urllib.parse import urlparse

from proton import Message, symbol
from proton.utils import BlockingConnection, LinkDetached, SendException
from rabbitmq_amqp_python_client import (
    AddressHelper,
    ClassicQueueSpecification,
    Environment,
    ExchangeSpecification,
    ExchangeToQueueBindingSpecification,
    ExchangeType,
    QuorumQueueSpecification,
)
from rabbitmq_amqp_python_client import Message as RabbitMessage
from rabbitmq_amqp_python_client.qpid.proton._utils import SendException as RabbitSendException

url = urlparse(os.environ["AMQP_URL"])
address = f"amqp://{url.username}:{url.password}@{url.hostname}:{url.port}"
run = uuid.uuid4().hex[:8]


def with_rabbitmq_library():
    """Management, publishing and outcomes with RabbitMQ's own client library."""
    environment = Environment(uri=f"{address}/")
    connection = environment.connection()
    connection.dial()
    management = connection.management()
    queue, exchange = f"rmq-{run}", f"rmq-x-{run}"
    management.declare_queue(QuorumQueueSpecification(name=queue))
    management.declare_exchange(
        ExchangeSpecification(name=exchange, exchange_type=ExchangeType.topic)
    )
    binding = ExchangeToQueueBindingSpecification(
        source_exchange=exchange, destination_queue=queue, binding_key="a.#"
    )
    path = management.bind(binding)
    routed = connection.publisher(AddressHelper.exchange_address(exchange, "a.b"))
    for i in range(50):
        outcome = routed.publish(RabbitMessage(body=f"m{i}".encode()))
        assert outcome.remote_state == outcome.ACCEPTED, outcome.remote_state
    lost = connection.publisher(AddressHelper.exchange_address(exchange, "z"))
    try:
        lost.publish(RabbitMessage(body=b"nowhere"))
        raise AssertionError("an unroutable message was accepted")
    except RabbitSendException as error:
        assert str(error.state) in ("38", "RELEASED"), error.state
    assert management.queue_info(queue).message_count == 50
    assert management.purge_queue(queue) == 50
    management.unbind(path)
    management.delete_exchange(exchange)
    management.delete_queue(queue)
    environment.close()


def with_proton():
    """The blocking client of Proton."""
    environment = Environment(uri=f"{address}/")
    declaring = environment.connection()
    declaring.dial()
    queue = f"proton-{run}"
    declaring.management().declare_queue(ClassicQueueSpecification(name=queue))
    connection = BlockingConnection(address, timeout=20)
    target = f"/queues/{queue}"
    sender = connection.create_sender(target)
    for i in range(100):
        sender.send(
            Message(
                id=i,
                subject="s",
                durable=True,
                properties={"number": i, "text": "t", "flag": True},
                annotations={symbol("x-a"): "b"},
                body={"list": [i, "two", None], "bytes": b"\x00\xff"},
            )
        )
    receiver = connection.create_receiver(target, credit=10)
    for i in range(100):
        message = receiver.receive(timeout=20)
        assert message.id == i and message.subject == "s" and message.durable
        assert message.properties == {"number": i, "text": "t", "flag": True}
        assert message.annotations["x-a"] == "b"
        assert message.annotations["x-routing-key"] == queue
        assert message.body["list"] == [i, "two", None]
        if i % 10 == 9:
            receiver.release(delivered=False)
            again = receiver.receive(timeout=20)
            while again.id != i:
                receiver.accept()
                again = receiver.receive(timeout=20)
            assert not again.first_acquirer
            receiver.accept()
            break
        receiver.accept()
    receiver.close()
    large = bytes(3_000_000)
    sender.send(Message(body=large))
    for refused in ("/queues/none-at-all", "/exchanges/none-at-all/k"):
        try:
            connection.create_sender(refused)
            raise AssertionError(f"{refused} was taken")
        except LinkDetached:
            pass
    nowhere = connection.create_sender("/exchanges/amq.direct/nowhere")
    try:
        nowhere.send(Message(body="x"))
        raise AssertionError("an unroutable message was accepted")
    except SendException as error:
        assert str(error.state) in ("38", "RELEASED"), error.state
    connection.close()
    declaring.management().delete_queue(queue)
    environment.close()


with_rabbitmq_library()
with_proton()
print("AMQP 1.0: Proton and RabbitMQ's Python client: fine")
