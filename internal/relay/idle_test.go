package relay

import (
	"net"
	"runtime"
	"testing"
)

// BenchmarkIdle is what connections cost that have asked once and wait, the
// test's own ends of them included.
func BenchmarkIdle(b *testing.B) {
	r := newRig(b, 1, Options{})
	l := listenLocal(b)
	defer l.Close()
	r.relay.Admit(0, Instance{Network: "tcp", Address: l.Addr().String()})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	buf := make([]byte, 1<<10)
	for range b.N {
		client, err := net.Dial("tcp", r.addrs[0])
		if err != nil {
			b.Fatal(err)
		}
		defer client.Close()
		if _, err := client.Write([]byte(getRequest)); err != nil {
			b.Fatal(err)
		}
		instance, err := l.Accept()
		if err != nil {
			b.Fatal(err)
		}
		defer instance.Close()
		instance.Read(buf)
		instance.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"))
		client.Read(buf)
	}
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.StackInuse-before.StackInuse)/float64(b.N), "stack-B/conn")
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(b.N), "heap-B/conn")
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.StackInuse-before.StackInuse)/float64(b.N), "stack-B/conn-gc")
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(b.N), "heap-B/conn-gc")
}
