import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.AlreadyClosedException;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.DeliverCallback;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.RpcClient;
import com.rabbitmq.client.RpcClientParams;
import com.rabbitmq.client.RpcServer;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.IOException;
import java.util.Arrays;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** Judges a broker with RabbitMQ's Java client: fails when anything is not as it should be. */
public final class ClientCheck {
  private static final int MESSAGES = 1000;

  public static void main(String[] arguments) throws Exception {
    ConnectionFactory factory = new ConnectionFactory();
    factory.setUri(System.getenv("AMQP_URL"));
    String queue = "java-" + ProcessHandle.current().pid();
    try (Connection connection = factory.newConnection("client-check")) {
      Channel channel = connection.createChannel();
      channel.queueDeclare(queue, true, false, false, null);
      publishWithConfirms(channel, queue);
      consumeWithAcks(channel, queue);
      mandatoryReturn(channel);
      getAndRequeue(channel, queue);
      largeBody(channel, queue);
      transactions(connection, queue);
      remoteCalls(connection);
      channelError(connection);
      heartbeats(factory);
      cancelNotification(connection, channel, queue);
      channel.queueDelete(queue);
    }
    System.exit(0);
  }

  private static void publishWithConfirms(Channel channel, String queue) throws Exception {
    channel.confirmSelect();
    AMQP.BasicProperties properties =
        new AMQP.BasicProperties.Builder()
            .deliveryMode(2)
            .headers(Map.of("n", 1, "text", "gr\u00fc\u00dfe", "long", 1L << 40))
            .build();
    for (int i = 0; i < MESSAGES; i += 1) {
      channel.basicPublish("", queue, true, properties, String.valueOf(i).getBytes());
    }
    channel.waitForConfirmsOrDie(20_000);
    long count = channel.messageCount(queue);
    check(count == MESSAGES, count + " messages in the queue");
  }

  private static void consumeWithAcks(Channel channel, String queue) throws Exception {
    channel.basicQos(100);
    AtomicInteger next = new AtomicInteger();
    CountDownLatch done = new CountDownLatch(MESSAGES);
    DeliverCallback take =
        (tag, delivery) -> {
          boolean inOrder = new String(delivery.getBody()).equals(String.valueOf(next.get()));
          boolean whole = delivery.getProperties().getHeaders().get("long").equals(1L << 40);
          if (inOrder && whole && next.incrementAndGet() % 10 == 0) {
            channel.basicAck(delivery.getEnvelope().getDeliveryTag(), true);
          }
          done.countDown();
        };
    String tag = channel.basicConsume(queue, false, take, ignored -> {});
    check(done.await(20, TimeUnit.SECONDS), "only " + next.get() + " messages came");
    check(next.get() == MESSAGES, "out of order after " + next.get());
    channel.basicCancel(tag);
    check(channel.messageCount(queue) == 0, "messages are left");
  }

  private static void mandatoryReturn(Channel channel) throws Exception {
    BlockingQueue<Integer> codes = new LinkedBlockingQueue<>();
    channel.addReturnListener(returned -> codes.add(returned.getReplyCode()));
    channel.basicPublish("", "no-such-queue", true, null, new byte[] {1});
    Integer code = codes.poll(5, TimeUnit.SECONDS);
    check(code != null && code == 312, "an unroutable message came back with " + code);
  }

  private static void getAndRequeue(Channel channel, String queue) throws Exception {
    publish(channel, queue, "first".getBytes());
    publish(channel, queue, "second".getBytes());
    GetResponse got = channel.basicGet(queue, false);
    check(new String(got.getBody()).equals("first"), "the first message is not first");
    channel.basicNack(got.getEnvelope().getDeliveryTag(), false, true);
    got = channel.basicGet(queue, false);
    check(new String(got.getBody()).equals("first"), "a requeued message lost its place");
    check(got.getEnvelope().isRedeliver(), "a requeued message is not marked");
    channel.basicAck(got.getEnvelope().getDeliveryTag(), false);
    got = channel.basicGet(queue, false);
    channel.basicReject(got.getEnvelope().getDeliveryTag(), false);
    check(channel.basicGet(queue, false) == null, "the queue is not empty");
  }

  private static void largeBody(Channel channel, String queue) throws Exception {
    byte[] body = new byte[4 << 20];
    new Random(1).nextBytes(body);
    publish(channel, queue, body);
    GetResponse got = channel.basicGet(queue, true);
    check(Arrays.equals(body, got.getBody()), "a large body changed");
  }

  private static void transactions(Connection connection, String queue) throws Exception {
    try (Channel channel = connection.createChannel()) {
      channel.txSelect();
      channel.basicPublish("", queue, null, "dropped".getBytes());
      channel.txRollback();
      channel.basicPublish("", queue, null, "kept".getBytes());
      channel.txCommit();
    }
    try (Channel channel = connection.createChannel()) {
      check(new String(channel.basicGet(queue, true).getBody()).equals("kept"), "rollback failed");
      check(channel.basicGet(queue, true) == null, "the queue is not empty");
    }
  }

  /** Both through a queue and through direct reply-to, which is the client's default. */
  private static void remoteCalls(Connection connection) throws Exception {
    Channel serving = connection.createChannel();
    String queue = serving.queueDeclare().getQueue();
    RpcServer server =
        new RpcServer(serving, queue) {
          @Override
          public byte[] handleCall(byte[] request, AMQP.BasicProperties ignored) {
            return new String(request).toUpperCase().getBytes();
          }
        };
    Thread thread = new Thread(() -> serve(server));
    thread.setDaemon(true);
    thread.start();
    Channel asking = connection.createChannel();
    RpcClient client =
        new RpcClient(
            new RpcClientParams().channel(asking).exchange("").routingKey(queue).timeout(5000));
    check(client.stringCall("hello").equals("HELLO"), "a wrong answer");
    client.close();
    server.terminateMainloop();
    asking.close();
  }

  private static void serve(RpcServer server) {
    try {
      server.mainloop();
    } catch (IOException | ShutdownSignalException ignored) {
      // The connection goes at the end of the checks.
    }
  }

  private static void channelError(Connection connection) throws Exception {
    Channel channel = connection.createChannel();
    try {
      channel.queueDeclarePassive("no-such-queue");
    } catch (IOException error) {
      ShutdownSignalException cause = (ShutdownSignalException) error.getCause();
      AMQP.Channel.Close close = (AMQP.Channel.Close) cause.getReason();
      check(close.getReplyCode() == 404, "a missing queue: " + close);
      try {
        channel.basicGet("x", true);
      } catch (AlreadyClosedException expected) {
        return;
      }
    }
    throw new AssertionError("a missing queue was found");
  }

  private static void heartbeats(ConnectionFactory factory) throws Exception {
    ConnectionFactory beating = factory.clone();
    beating.setRequestedHeartbeat(1);
    try (Connection connection = beating.newConnection()) {
      TimeUnit.MILLISECONDS.sleep(3500);
      connection.createChannel().queueDeclare();
    }
  }

  private static void cancelNotification(Connection connection, Channel channel, String queue)
      throws Exception {
    CountDownLatch cancelled = new CountDownLatch(1);
    channel.basicConsume(queue, (tag, delivery) -> {}, tag -> cancelled.countDown());
    connection.createChannel().queueDelete(queue);
    check(cancelled.await(5, TimeUnit.SECONDS), "no cancel notification");
  }

  private static void publish(Channel channel, String queue, byte[] body) throws Exception {
    channel.basicPublish("", queue, null, body);
    channel.waitForConfirmsOrDie(5000);
  }

  private static void check(boolean ok, String complaint) {
    if (!ok) throw new AssertionError(complaint);
  }

  private ClientCheck() {}
}
