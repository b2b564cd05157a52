import com.rabbitmq.stream.Consumer;
import com.rabbitmq.stream.ConsumerBuilder;
import com.rabbitmq.stream.Environment;
import com.rabbitmq.stream.OffsetSpecification;
import com.rabbitmq.stream.Producer;
import com.rabbitmq.stream.ProducerBuilder;
import com.rabbitmq.stream.compression.Compression;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import java.util.function.UnaryOperator;

/** Judges a broker with RabbitMQ's Java stream client: exits with an error when anything is wrong. */
public final class StreamCheck {
  private static Environment env;

  public static void main(String[] arguments) throws Exception {
    String run = "java-" + System.nanoTime();
    env =
        Environment.builder()
            .host(System.getenv("STREAM_HOST"))
            .port(Integer.parseInt(System.getenv("STREAM_PORT")))
            .build();
    try {
      publishAndRead(run + "-plain");
      batches(run + "-batches");
      deduplicate(run + "-once");
      filters(run + "-filters");
      storedOffsets(run + "-plain");
      singleActive(run + "-plain");
      superStream(run + "-super");
      statistics(run + "-plain");
    } finally {
      env.close();
    }
    System.out.println("stream-java-client: all well");
  }

  private static void declare(String stream) {
    env.streamCreator().stream(stream).maxAge(Duration.ofHours(1)).create();
    // Once more with the same arguments is fine.
    env.streamCreator().stream(stream).maxAge(Duration.ofHours(1)).create();
  }

  /** Publishes m{from}..m{to-1} and waits for the confirm of each. */
  private static void publish(String stream, int from, int to, UnaryOperator<ProducerBuilder> with)
      throws Exception {
    Producer producer = with.apply(env.producerBuilder().stream(stream)).build();
    publish(producer, from, to);
    producer.close();
  }

  private static void publish(Producer producer, int from, int to) throws Exception {
    CountDownLatch confirmed = new CountDownLatch(to - from);
    for (int i = from; i < to; i++) {
      var message =
          producer
              .messageBuilder()
              .publishingId(i)
              .properties()
              .messageId(Integer.toString(i))
              .messageBuilder()
              .applicationProperties()
              .entry("tens", Integer.toString(i / 10 % 2))
              .messageBuilder()
              .addData(text(i).getBytes())
              .build();
      producer.send(
          message,
          status -> {
            check(status.isConfirmed(), "not confirmed: " + status.getCode());
            confirmed.countDown();
          });
    }
    check(confirmed.await(20, TimeUnit.SECONDS), confirmed.getCount() + " are not confirmed");
  }

  private static String text(int i) {
    return "m" + i;
  }

  private record Inbox(Consumer consumer, List<String> bodies) {
    void await(int from, int to) throws Exception {
      eventually(() -> bodies.size() >= to - from, (to - from) + " messages");
      Thread.sleep(50);
      List<String> expected = new ArrayList<>();
      for (int i = from; i < to; i++) expected.add(text(i));
      check(bodies.equals(expected), from + " to " + to + " expected, got " + bodies);
    }
  }

  private static Inbox read(String stream, UnaryOperator<ConsumerBuilder> with) {
    List<String> bodies = Collections.synchronizedList(new ArrayList<>());
    ConsumerBuilder builder = env.consumerBuilder();
    if (stream != null) builder.stream(stream);
    builder.messageHandler((context, message) -> bodies.add(new String(message.getBodyAsBinary())));
    return new Inbox(with.apply(builder).build(), bodies);
  }

  private static Inbox read(String stream, OffsetSpecification offset) {
    return read(stream, builder -> builder.offset(offset));
  }

  private static void publishAndRead(String stream) throws Exception {
    declare(stream);
    long began = System.currentTimeMillis() - 3_600_000;
    publish(stream, 0, 2000, builder -> builder);
    Inbox first = read(stream, OffsetSpecification.first());
    Inbox middle = read(stream, OffsetSpecification.offset(1500));
    Inbox past = read(stream, OffsetSpecification.timestamp(began));
    Inbox next = read(stream, OffsetSpecification.next());
    publish(stream, 2000, 2010, builder -> builder);
    first.await(0, 2010);
    middle.await(1500, 2010);
    past.await(0, 2010);
    next.await(2000, 2010);
    for (Inbox each : List.of(first, middle, past, next)) each.consumer().close();
  }

  private static void batches(String stream) throws Exception {
    declare(stream);
    int from = 0;
    for (Compression kind : Compression.values()) {
      publish(stream, from, from + 100, builder -> builder.subEntrySize(10).compression(kind));
      from += 100;
    }
    Inbox inbox = read(stream, OffsetSpecification.first());
    inbox.await(0, from);
    inbox.consumer().close();
  }

  private static void deduplicate(String stream) throws Exception {
    declare(stream);
    publish(stream, 1, 101, builder -> builder.name("writer"));
    Producer producer = env.producerBuilder().stream(stream).name("writer").build();
    check(producer.getLastPublishingId() == 100, "last id " + producer.getLastPublishingId());
    publish(producer, 51, 151);
    producer.close();
    Inbox inbox = read(stream, OffsetSpecification.first());
    inbox.await(1, 151);
    inbox.consumer().close();
  }

  private static void filters(String stream) throws Exception {
    declare(stream);
    for (int i = 0; i < 4; i++) {
      publish(
          stream,
          10 * i,
          10 * (i + 1),
          builder ->
              builder.filterValue(message -> (String) message.getApplicationProperties().get("tens")));
    }
    AtomicInteger seen = new AtomicInteger();
    Inbox inbox =
        read(
            stream,
            builder ->
                builder
                    .offset(OffsetSpecification.first())
                    .filter()
                    .values("1")
                    .postFilter(message -> seen.incrementAndGet() > 0)
                    .builder());
    eventually(() -> inbox.bodies().size() >= 20, "what the filter lets pass");
    Thread.sleep(50);
    check(seen.get() == 20, seen.get() + " messages were sent, not 20");
    inbox.consumer().close();
  }

  private static void storedOffsets(String stream) throws Exception {
    UnaryOperator<ConsumerBuilder> manual =
        builder ->
            builder
                .name("reader")
                .offset(OffsetSpecification.first())
                .manualTrackingStrategy()
                .checkInterval(Duration.ZERO)
                .builder();
    Inbox first = read(stream, manual);
    first.await(0, 2010);
    first.consumer().store(1999);
    eventually(() -> first.consumer().storedOffset() == 1999, "the offset is stored");
    first.consumer().close();
    Inbox second = read(stream, manual);
    second.await(2000, 2010);
    second.consumer().close();
  }

  private static void singleActive(String stream) throws Exception {
    UnaryOperator<ConsumerBuilder> group =
        builder ->
            builder
                .name("group")
                .singleActiveConsumer()
                .offset(OffsetSpecification.offset(2000))
                .autoTrackingStrategy()
                .messageCountBeforeStorage(5)
                .builder();
    Inbox first = read(stream, group);
    first.await(2000, 2010);
    Inbox second = read(stream, group);
    Thread.sleep(100);
    check(second.bodies().isEmpty(), "two consumers were active");
    first.consumer().close();
    publish(stream, 2010, 2020, builder -> builder);
    second.await(2010, 2020);
    second.consumer().close();
  }

  private static void superStream(String name) throws Exception {
    env.streamCreator().name(name).superStream().partitions(3).creator().create();
    Producer producer =
        env.producerBuilder()
            .superStream(name)
            .routing(message -> message.getProperties().getMessageIdAsString())
            .producerBuilder()
            .build();
    publish(producer, 0, 300);
    producer.close();
    List<Inbox> boxes = new ArrayList<>();
    for (int i = 0; i < 2; i++) {
      boxes.add(
          read(
              null,
              builder ->
                  builder
                      .superStream(name)
                      .name("group")
                      .singleActiveConsumer()
                      .offset(OffsetSpecification.first())));
    }
    eventually(
        () -> {
          Set<String> all = new HashSet<>();
          for (Inbox each : boxes) all.addAll(List.copyOf(each.bodies()));
          return all.size() == 300;
        },
        "all of the super stream");
    for (Inbox each : boxes) each.consumer().close();
    env.deleteSuperStream(name);
  }

  private static void statistics(String stream) {
    var stats = env.queryStreamStats(stream);
    check(stats.firstOffset() == 0, "the first offset is " + stats.firstOffset());
    check(stats.committedOffset() == 2019, "the last offset is " + stats.committedOffset());
    check(env.streamExists(stream), "the stream is gone");
    env.deleteStream(stream);
    check(!env.streamExists(stream), "the stream is still there");
  }

  private static void eventually(BooleanSupplier condition, String what) throws Exception {
    long deadline = System.currentTimeMillis() + 15_000;
    while (!condition.getAsBoolean()) {
      check(System.currentTimeMillis() < deadline, "not in time: " + what);
      Thread.sleep(10);
    }
  }

  private static void check(boolean ok, String text) {
    if (!ok) throw new AssertionError(text);
  }
}
