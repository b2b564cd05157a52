// Judges a broker with rabbitmq-stream-go-client: exits with an error when anything is not as it
// should be.
package main

import (
	"fmt"
	"log"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/rabbitmq/rabbitmq-stream-go-client/pkg/amqp"
	"github.com/rabbitmq/rabbitmq-stream-go-client/pkg/message"
	"github.com/rabbitmq/rabbitmq-stream-go-client/pkg/stream"
)

var env *stream.Environment
var offsets = stream.OffsetSpecification{}

func main() {
	log.SetFlags(0)
	port, err := strconv.Atoi(os.Getenv("STREAM_PORT"))
	must(err)
	env, err = stream.NewEnvironment(stream.NewEnvironmentOptions().
		SetHost(os.Getenv("STREAM_HOST")).SetPort(port).SetUser("guest").SetPassword("guest"))
	must(err)
	run := fmt.Sprintf("go-%d-%d", os.Getpid(), time.Now().UnixNano())

	publishAndRead(run + "-plain")
	batches(run + "-batches")
	deduplicate(run + "-once")
	filters(run + "-filters")
	storedOffsets(run + "-plain")
	singleActive(run + "-plain")
	superStream(run + "-super")
	statistics(run + "-plain")
	deleted(run + "-plain")
	must(env.Close())
	fmt.Println("rabbitmq-stream-go-client: all well")
}

func declare(name string) {
	must(env.DeclareStream(name, &stream.StreamOptions{MaxLengthBytes: stream.ByteCapacity{}.GB(1)}))
	// Once more with the same arguments is fine.
	must(env.DeclareStream(name, &stream.StreamOptions{MaxLengthBytes: stream.ByteCapacity{}.GB(1)}))
}

func text(i int) string { return fmt.Sprintf("m%d", i) }

// Publishes m<from>..m<to-1> and waits for the confirm of each.
func publish(name string, from, to int, options *stream.ProducerOptions) {
	producer, err := env.NewProducer(name, options)
	must(err)
	confirms := producer.NotifyPublishConfirmation()
	for i := from; i < to; i++ {
		m := amqp.NewMessage([]byte(text(i)))
		m.ApplicationProperties = map[string]interface{}{"parity": []string{"even", "odd"}[i%2]}
		if options != nil && options.Name != "" {
			m.SetPublishingId(int64(i))
		}
		must(producer.Send(m))
	}
	awaitConfirms(confirms, to-from)
	must(producer.Close())
}

func awaitConfirms(confirms stream.ChannelPublishConfirm, count int) {
	deadline := time.After(20 * time.Second)
	for count > 0 {
		select {
		case some := <-confirms:
			for _, status := range some {
				check(status.IsConfirmed(), "a message was not confirmed: %v", status.GetError())
				count--
			}
		case <-deadline:
			log.Fatalf("%d messages are not confirmed", count)
		}
	}
}

type inbox struct {
	mutex    sync.Mutex
	bodies   []string
	consumer *stream.Consumer
}

func (box *inbox) take(_ stream.ConsumerContext, m *amqp.Message) {
	box.mutex.Lock()
	defer box.mutex.Unlock()
	box.bodies = append(box.bodies, string(m.GetData()))
}

func (box *inbox) list() []string {
	box.mutex.Lock()
	defer box.mutex.Unlock()
	return append([]string{}, box.bodies...)
}

// Waits for `count` messages, and for a moment more that there are no others.
func (box *inbox) await(count int) []string {
	eventually(func() bool { return len(box.list()) >= count }, "%d messages", count)
	time.Sleep(50 * time.Millisecond)
	bodies := box.list()
	check(len(bodies) == count, "%d messages came, not %d", len(bodies), count)
	return bodies
}

func read(name string, options *stream.ConsumerOptions) *inbox {
	box := &inbox{}
	consumer, err := env.NewConsumer(name, box.take, options)
	must(err)
	box.consumer = consumer
	return box
}

func expect(bodies []string, from int) {
	for i, body := range bodies {
		check(body == text(from+i), "%s came for %s", body, text(from+i))
	}
}

func publishAndRead(name string) {
	declare(name)
	began := time.Now().Add(-time.Hour).UnixMilli()
	publish(name, 0, 2000, nil)
	for _, row := range []struct {
		offset stream.OffsetSpecification
		from   int
	}{{offsets.First(), 0}, {offsets.Offset(1500), 1500}, {offsets.Timestamp(began), 0}} {
		box := read(name, stream.NewConsumerOptions().SetOffset(row.offset).SetCRCCheck(true))
		expect(box.await(2000-row.from), row.from)
		must(box.consumer.Close())
	}
	next := read(name, stream.NewConsumerOptions().SetOffset(offsets.Next()))
	publish(name, 2000, 2010, nil)
	expect(next.await(10), 2000)
	must(next.consumer.Close())
}

func batches(name string) {
	declare(name)
	kind := stream.Compression{}
	kinds := []stream.Compression{kind.None(), kind.Gzip(), kind.Snappy(), kind.Lz4(), kind.Zstd()}
	for i, each := range kinds {
		options := stream.NewProducerOptions().SetSubEntrySize(10).SetCompression(each)
		publish(name, 100*i, 100*(i+1), options)
	}
	box := read(name, stream.NewConsumerOptions().SetOffset(offsets.First()))
	expect(box.await(500), 0)
	must(box.consumer.Close())
}

func deduplicate(name string) {
	declare(name)
	publish(name, 1, 101, stream.NewProducerOptions().SetProducerName("writer"))
	publish(name, 51, 151, stream.NewProducerOptions().SetProducerName("writer"))
	last, err := env.QuerySequence("writer", name)
	must(err)
	check(last == 150, "the last publishing id is %d", last)
	box := read(name, stream.NewConsumerOptions().SetOffset(offsets.First()))
	expect(box.await(150), 1)
	must(box.consumer.Close())
}

func filters(name string) {
	declare(name)
	for i := 0; i < 4; i++ {
		value := []string{"even", "odd"}[i%2]
		options := stream.NewProducerOptions().SetFilter(
			stream.NewProducerFilter(func(message.StreamMessage) string { return value }))
		publish(name, 10*i, 10*(i+1), options)
	}
	filter := stream.NewConsumerFilter([]string{"odd"}, false, func(*amqp.Message) bool { return true })
	box := read(name, stream.NewConsumerOptions().SetOffset(offsets.First()).SetFilter(filter))
	bodies := box.await(20)
	expect(bodies[:10], 10)
	expect(bodies[10:], 30)
	must(box.consumer.Close())
}

func storedOffsets(name string) {
	_, err := env.QueryOffset("reader", name)
	check(err != nil, "an offset that nobody has stored")
	must(env.StoreOffset("reader", name, 1999))
	eventually(func() bool {
		offset, err := env.QueryOffset("reader", name)
		return err == nil && offset == 1999
	}, "the offset is stored")
	options := stream.NewConsumerOptions().SetConsumerName("reader").SetOffset(offsets.LastConsumed())
	box := read(name, options)
	// This client begins with the message of the offset that is stored.
	expect(box.await(11), 1999)
	must(box.consumer.StoreOffset())
	must(box.consumer.Close())
	eventually(func() bool {
		offset, err := env.QueryOffset("reader", name)
		return err == nil && offset == 2009
	}, "the consumer's offset is stored")
}

func singleActive(name string) {
	active := func(offset int64) *stream.SingleActiveConsumer {
		return stream.NewSingleActiveConsumer(func(string, bool) stream.OffsetSpecification {
			return offsets.Offset(offset)
		})
	}
	options := func(offset int64) *stream.ConsumerOptions {
		return stream.NewConsumerOptions().SetConsumerName("group").SetSingleActiveConsumer(active(offset))
	}
	first := read(name, options(2000))
	expect(first.await(10), 2000)
	second := read(name, options(2005))
	check(len(second.await(0)) == 0, "two consumers were active")
	must(first.consumer.Close())
	expect(second.await(5), 2005)
	must(second.consumer.Close())
}

func superStream(name string) {
	must(env.DeclareSuperStream(name, stream.NewPartitionsOptions(3)))
	partitions, err := env.QueryPartitions(name)
	must(err)
	check(len(partitions) == 3, "%v are not three partitions", partitions)
	routes, err := env.QueryRoute(name, "1")
	must(err)
	check(len(routes) == 1 && routes[0] == partitions[1], "key 1 leads to %v", routes)
	strategy := stream.NewHashRoutingStrategy(func(m message.StreamMessage) string {
		return fmt.Sprint(m.GetMessageProperties().MessageID)
	})
	producer, err := env.NewSuperStreamProducer(name, stream.NewSuperStreamProducerOptions(strategy))
	must(err)
	confirms := producer.NotifyPublishConfirmation(10)
	done := make(chan int)
	go func() {
		count := 0
		for count < 300 {
			count += len((<-confirms).ConfirmationStatus)
		}
		done <- count
	}()
	for i := 0; i < 300; i++ {
		m := amqp.NewMessage([]byte(text(i)))
		m.Properties = &amqp.MessageProperties{MessageID: fmt.Sprint(i)}
		must(producer.Send(m))
	}
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		log.Fatal("the super stream does not confirm")
	}
	must(producer.Close())
	// Two consumers of a group share the partitions between them.
	boxes := []*inbox{{}, {}}
	var consumers []*stream.SuperStreamConsumer
	for _, box := range boxes {
		single := stream.NewSingleActiveConsumer(func(string, bool) stream.OffsetSpecification {
			return offsets.First()
		})
		consumer, err := env.NewSuperStreamConsumer(name, box.take, stream.NewSuperStreamConsumerOptions().
			SetConsumerName("group").SetSingleActiveConsumer(single).SetOffset(offsets.First()))
		must(err)
		consumers = append(consumers, consumer)
	}
	eventually(func() bool {
		seen := map[string]bool{}
		for _, box := range boxes {
			for _, body := range box.list() {
				seen[body] = true
			}
		}
		return len(seen) == 300 && len(boxes[1].list()) > 0
	}, "both consumers get all between them")
	for _, consumer := range consumers {
		must(consumer.Close())
	}
	must(env.DeleteSuperStream(name))
}

func statistics(name string) {
	stats, err := env.StreamStats(name)
	must(err)
	first, err := stats.FirstOffset()
	must(err)
	check(first == 0, "the first offset is %d", first)
	exists, err := env.StreamExists(name)
	must(err)
	check(exists, "the stream is gone")
}

func deleted(name string) {
	box := read(name, stream.NewConsumerOptions().SetOffset(offsets.Next()))
	closed := box.consumer.NotifyClose()
	must(env.DeleteStream(name))
	select {
	case event := <-closed:
		check(event.Reason == stream.MetaDataUpdate, "the reason is %s", event.Reason)
	case <-time.After(10 * time.Second):
		log.Fatal("nobody is told that the stream is deleted")
	}
	check(env.DeleteStream(name) == stream.StreamDoesNotExist, "it is still there")
}

func eventually(condition func() bool, format string, arguments ...interface{}) {
	for deadline := time.Now().Add(15 * time.Second); !condition(); {
		if time.Now().After(deadline) {
			log.Fatalf("not in time: "+format, arguments...)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func check(ok bool, format string, arguments ...interface{}) {
	if !ok {
		log.Fatalf(format, arguments...)
	}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
