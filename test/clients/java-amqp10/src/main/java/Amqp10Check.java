import com.rabbitmq.client.amqp.Connection;
import com.rabbitmq.client.amqp.Consumer;
import com.rabbitmq.client.amqp.Environment;
import com.rabbitmq.client.amqp.Management;
import com.rabbitmq.client.amqp.Publisher;
import com.rabbitmq.client.amqp.impl.AmqpEnvironmentBuilder;
import jakarta.jms.BytesMessage;
import jakarta.jms.JMSContext;
import jakarta.jms.Message;
import jakarta.jms.TextMessage;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.qpid.jms.JmsConnectionFactory;

/** Judges a broker with two Java clients of AMQP 1.0: RabbitMQ's own, and Qpid JMS. */
public final class Amqp10Check {
  private static URI broker;

  public static void main(String[] args) throws Exception {
    broker = URI.create(System.getenv("AMQP_URL"));
    String queue = "java-amqp10-" + ProcessHandle.current().pid();
    withRabbitClient(queue);
    withJms(queue + "-jms");
    System.out.println("AMQP 1.0: RabbitMQ's Java client and Qpid JMS: fine");
    System.exit(0);
  }

  private static void expect(boolean good, String what) {
    if (!good) {
      throw new AssertionError(what);
    }
  }

  private static Environment environment() {
    return new AmqpEnvironmentBuilder()
        .connectionSettings()
        .uri("amqp://guest:guest@" + broker.getHost() + ":" + broker.getPort() + "/%2f")
        .environmentBuilder()
        .build();
  }

  private static void withRabbitClient(String queue) throws Exception {
    try (Environment environment = environment();
        Connection connection = environment.connectionBuilder().build()) {
      Management management = connection.management();
      String exchange = queue + "-x";
      management.exchange(exchange).type(Management.ExchangeType.TOPIC).declare();
      management.queue(queue).type(Management.QueueType.QUORUM).declare();
      management.binding().sourceExchange(exchange).destinationQueue(queue).key("a.*").bind();

      int count = 200;
      CountDownLatch confirmed = new CountDownLatch(count);
      Publisher publisher = connection.publisherBuilder().exchange(exchange).key("a.b").build();
      for (int i = 0; i < count; i++) {
        publisher.publish(
            publisher.message(("m" + i).getBytes(StandardCharsets.UTF_8)).messageId((long) i),
            context -> {
              if (context.status() == Publisher.Status.ACCEPTED) {
                confirmed.countDown();
              }
            });
      }
      expect(confirmed.await(30, TimeUnit.SECONDS), "confirms");
      expect(management.queueInfo(queue).messageCount() == count, "message count");

      AtomicInteger seen = new AtomicInteger();
      CountDownLatch done = new CountDownLatch(count + 1);
      Consumer consumer =
          connection
              .consumerBuilder()
              .queue(queue)
              .messageHandler(
                  (context, message) -> {
                    done.countDown();
                    if (seen.getAndIncrement() == 0) {
                      context.requeue();
                    } else {
                      context.accept();
                    }
                  })
              .build();
      expect(done.await(30, TimeUnit.SECONDS), "deliveries");
      consumer.close();

      CountDownLatch lost = new CountDownLatch(1);
      Publisher nowhere = connection.publisherBuilder().exchange(exchange).key("z").build();
      nowhere.publish(
          nowhere.message("x".getBytes(StandardCharsets.UTF_8)),
          context -> {
            if (context.status() == Publisher.Status.RELEASED) {
              lost.countDown();
            }
          });
      expect(lost.await(10, TimeUnit.SECONDS), "released");
      management.exchangeDelete(exchange);
      management.queueDelete(queue);
    }
  }

  private static void withJms(String queue) throws Exception {
    try (Environment environment = environment();
        Connection connection = environment.connectionBuilder().build()) {
      connection.management().queue(queue).declare();
      JmsConnectionFactory factory =
          new JmsConnectionFactory(
              "guest", "guest", "amqp://" + broker.getHost() + ":" + broker.getPort());
      try (JMSContext context = factory.createContext(JMSContext.CLIENT_ACKNOWLEDGE)) {
        var destination = context.createQueue("/queues/" + queue);
        var producer = context.createProducer();
        for (int i = 0; i < 20; i++) {
          TextMessage message = context.createTextMessage("m" + i);
          message.setIntProperty("number", i);
          message.setJMSCorrelationID("c" + i);
          producer.setPriority(i % 10).send(destination, message);
        }
        BytesMessage bytes = context.createBytesMessage();
        bytes.writeBytes(new byte[200_000]);
        producer.send(destination, bytes);
        var consumer = context.createConsumer(destination);
        Message last = null;
        for (int i = 0; i < 20; i++) {
          TextMessage message = (TextMessage) consumer.receive(10_000);
          expect(message != null && message.getText().equals("m" + i), "text " + i);
          expect(message.getIntProperty("number") == i, "property");
          expect(message.getJMSCorrelationID().equals("c" + i), "correlation id");
          last = message;
        }
        BytesMessage back = (BytesMessage) consumer.receive(10_000);
        expect(back != null && back.getBodyLength() == 200_000, "bytes");
        last.acknowledge();
      }
      connection.management().queueDelete(queue);
    }
  }
}
