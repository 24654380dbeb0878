// The Dapr sidecar with the two pub/sub components that this project uses.
//
// Dapr's own cmd/daprd registers every component there is, which takes ten
// times as long to build. This is the same runtime with a short registry.
package main

import (
	"context"
	"errors"
	"os"

	"go.opencensus.io/stats/view"

	"github.com/dapr/components-contrib/nameresolution"
	inmemory "github.com/dapr/components-contrib/pubsub/in-memory"
	"github.com/dapr/components-contrib/pubsub/kafka"
	"github.com/dapr/dapr/cmd/daprd/options"
	resolverLoader "github.com/dapr/dapr/pkg/components/nameresolution"
	pubsubLoader "github.com/dapr/dapr/pkg/components/pubsub"
	"github.com/dapr/dapr/pkg/healthz"
	"github.com/dapr/dapr/pkg/metrics"
	"github.com/dapr/dapr/pkg/modes"
	"github.com/dapr/dapr/pkg/runtime"
	"github.com/dapr/dapr/pkg/runtime/registry"
	"github.com/dapr/dapr/pkg/security"
	"github.com/dapr/kit/concurrency"
	"github.com/dapr/kit/logger"
	"github.com/dapr/kit/signals"
)

// noResolver stands in for the default of a self-hosted sidecar, multicast DNS:
// nothing here calls another service by name.
type noResolver struct{}

func (noResolver) Init(context.Context, nameresolution.Metadata) error { return nil }

func (noResolver) ResolveID(context.Context, nameresolution.ResolveRequest) (string, error) {
	return "", errors.New("this sidecar resolves no names")
}

func (noResolver) Close() error { return nil }

var (
	log        = logger.NewLogger("dapr.runtime")
	logContrib = logger.NewLogger("dapr.contrib")
)

func main() {
	opts, err := options.New(os.Args[1:])
	if err != nil {
		log.Fatalf("Failed to parse flags: %v", err)
	}
	opts.Logger.SetAppID(opts.AppID)
	if err := logger.ApplyOptionsToLoggers(&opts.Logger); err != nil {
		log.Fatal(err)
	}

	pubsubLoader.DefaultRegistry.Logger = logContrib
	pubsubLoader.DefaultRegistry.RegisterComponent(kafka.NewKafka, "kafka")
	pubsubLoader.DefaultRegistry.RegisterComponent(inmemory.New, "in-memory")
	resolverLoader.DefaultRegistry.Logger = logContrib
	resolverLoader.DefaultRegistry.RegisterComponent(func(logger.Logger) nameresolution.Resolver {
		return noResolver{}
	}, "mdns")

	serve(opts)
}

// serve runs the runtime again after SIGHUP, which hot reload sends to itself.
func serve(opts *options.Options) {
	ctx := signals.Context()
	hups := signals.OnHUP(ctx)

	for {
		select {
		case <-ctx.Done():
			return
		case hctx, ok := <-hups:
			if !ok {
				return
			}
			if err := run(hctx, opts); err != nil {
				log.Fatalf("Fatal error from runtime: %s", err)
			}
			if hctx.Err() == nil {
				return // ended by itself: /v1.0/shutdown
			}
		}
	}
}

func run(ctx context.Context, opts *options.Options) error {
	hz := healthz.New()
	provider, err := security.New(ctx, security.Options{
		SentryAddress:           opts.SentryAddress,
		ControlPlaneTrustDomain: opts.ControlPlaneTrustDomain,
		ControlPlaneNamespace:   opts.ControlPlaneNamespace,
		TrustAnchors:            opts.TrustAnchors,
		AppID:                   opts.AppID,
		MTLSEnabled:             opts.EnableMTLS,
		Mode:                    modes.DaprMode(opts.Mode),
		Healthz:                 hz,
		JwtAudiences:            opts.SentryRequestJwtAudiences,
	})
	if err != nil {
		return err
	}

	runtimeRunner := func(ctx context.Context) error {
		handler, err := provider.Handler(ctx)
		if err != nil {
			return err
		}
		rt, err := runtime.FromConfig(ctx, config(opts, handler, hz))
		if err != nil {
			return err
		}
		return rt.Run(ctx)
	}
	return concurrency.NewRunnerManager(provider.Run, runtimeRunner).Run(ctx)
}

// config passes every option on: FromConfig refuses some that are left empty.
func config(o *options.Options, sec security.Handler, hz healthz.Healthz) *runtime.Config {
	return &runtime.Config{
		AppID:                         o.AppID,
		ActorsService:                 o.ActorsService,
		ActorsDisseminationTimeout:    o.ActorsDisseminationTimeout,
		HotReloadReconcileInterval:    o.HotReloadReconcileInterval,
		RemindersService:              o.RemindersService,
		SchedulerAddress:              o.SchedulerAddress,
		SchedulerStreams:              o.SchedulerJobStreams,
		AllowedOrigins:                o.AllowedOrigins,
		ResourcesPath:                 o.ResourcesPath,
		ControlPlaneAddress:           o.ControlPlaneAddress,
		AppProtocol:                   o.AppProtocol,
		Mode:                          o.Mode,
		DaprHTTPPort:                  o.DaprHTTPPort,
		DaprInternalGRPCPort:          o.DaprInternalGRPCPort,
		DaprInternalGRPCListenAddress: o.DaprInternalGRPCListenAddress,
		DaprAPIGRPCPort:               o.DaprAPIGRPCPort,
		DaprAPIListenAddresses:        o.DaprAPIListenAddresses,
		DaprPublicPort:                o.DaprPublicPort,
		DaprPublicListenAddress:       o.DaprPublicListenAddress,
		ApplicationPort:               o.AppPort,
		ProfilePort:                   o.ProfilePort,
		EnableProfiling:               o.EnableProfiling,
		AppMaxConcurrency:             o.AppMaxConcurrency,
		EnableMTLS:                    o.EnableMTLS,
		SentryAddress:                 o.SentryAddress,
		MaxRequestSize:                o.MaxRequestSize,
		ReadBufferSize:                o.ReadBufferSize,
		UnixDomainSocket:              o.UnixDomainSocket,
		DaprGracefulShutdownSeconds:   o.DaprGracefulShutdownSeconds,
		DaprBlockShutdownDuration:     o.DaprBlockShutdownDuration,
		DisableBuiltinK8sSecretStore:  o.DisableBuiltinK8sSecretStore,
		EnableAppHealthCheck:          o.EnableAppHealthCheck,
		AppHealthCheckPath:            o.AppHealthCheckPath,
		AppHealthProbeInterval:        o.AppHealthProbeInterval,
		AppHealthProbeTimeout:         o.AppHealthProbeTimeout,
		AppHealthThreshold:            o.AppHealthThreshold,
		AppChannelAddress:             o.AppChannelAddress,
		EnableAPILogging:              o.EnableAPILogging,
		Config:                        o.Config,
		DisableInitEndpoints:          o.DisableInitEndpoints,
		AppBindingOptionsTimeout:      o.AppBindingOptionsTimeout,
		Metrics: metrics.Options{
			Enabled:       o.Metrics.Enabled(),
			Log:           log,
			Port:          o.Metrics.Port(),
			Namespace:     metrics.DefaultMetricNamespace,
			Healthz:       hz,
			ListenAddress: o.Metrics.ListenAddress(),
			Meter:         view.NewMeter(),
		},
		AppSSL:         o.AppSSL,
		ComponentsPath: o.ComponentsPath,
		Registry:       registry.NewOptions().WithPubSubs(pubsubLoader.DefaultRegistry),
		Security:       sec,
		Healthz:        hz,
	}
}
