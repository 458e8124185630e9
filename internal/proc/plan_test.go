package proc

import (
	"errors"
	"strings"
	"testing"

	"clusterd/internal/config"
)

// What only the relay can do chooses the relay, wherever else the app could be
// adopted and counted, and says so.
func TestRelayOnlyKeysChooseTheRelay(t *testing.T) {
	for _, x := range []struct {
		app           config.App
		refused       error
		listen, count string
		why           string
	}{
		{config.App{}, nil, "adopt", "ebpf", ""},
		{config.App{Forwarded: true}, nil, "relay", "relay", "forwarded = true needs the relay; instances may listen on the port itself"},
		{config.App{ProxyProtocol: true}, nil, "relay", "relay", "proxy_protocol = true needs the relay; "},
		{config.App{Strict: true, Count: config.CountOff}, nil, "relay", "off", "strict = true needs the relay; "},
		{config.App{Strict: true}, errors.New("refused"), "relay", "relay", "strict = true needs the relay; instances must listen on $PORT, since they cannot be adopted: refused"},
		{config.App{Strict: true, Listen: config.ListenRelay}, nil, "relay", "relay", `listen = "relay"; `},
	} {
		x.app.Port = 8080
		if x.app.Listen == "" {
			x.app.Listen = config.ListenAuto
		}
		if x.app.Count == "" {
			x.app.Count = config.CountAuto
		}
		p := planOf(x.app, x.refused, nil)
		if p.Listen != x.listen || p.Count != x.count || !strings.HasPrefix(p.ListenWhy, x.why) || p.Err != nil {
			t.Errorf("%+v: %+v", x.app, p)
		}
	}
}
