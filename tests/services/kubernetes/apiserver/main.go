// Command apiserver is the control plane that the tests of compute backend sk8 talk to, in one process: the real
// Kubernetes API server, its etcd, and its garbage collector, which carries out owner references and foreground
// deletion. What it does not have: scheduler, kubelet and nodes, so that a pod runs only when a test plays them.
//
// apiserver FOLDER CLIENT_PORT PEER_PORT KUBECONFIG [flags of kube-apiserver]: KUBECONFIG is the collector's.
package main

import (
	"context"
	"log"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/component-base/cli"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
)

const (
	workers       = 4
	lookForKindsS = 1 // a new custom resource is collected this soon
)

func main() {
	folder, clientPort, peerPort, kubeconfig := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	endpoint := startEtcd(filepath.Join(folder, "etcd"), clientPort, peerPort)
	go collectGarbage(context.Background(), kubeconfig)
	command := app.NewAPIServerCommand()
	command.SetArgs(append([]string{"--etcd-servers=" + endpoint}, os.Args[5:]...))
	os.Exit(cli.Run(command))
}

func startEtcd(folder, clientPort, peerPort string) string {
	client := url.URL{Scheme: "http", Host: "127.0.0.1:" + clientPort}
	peer := url.URL{Scheme: "http", Host: "127.0.0.1:" + peerPort}
	config := embed.NewConfig()
	config.Dir = folder
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	config.LogLevel = "warn"
	config.UnsafeNoFsync = true
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		log.Fatalf("etcd does not start: %v", err)
	}
	<-etcd.Server.ReadyNotify()
	return client.String()
}

func collectGarbage(ctx context.Context, kubeconfig string) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		log.Fatalf("the garbage collector's kubeconfig: %v", err)
	}
	config.QPS = -1
	client := kubernetes.NewForConfigOrDie(config)
	wait.PollUntilContextCancel(ctx, 100*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error() == nil, nil
	})
	metadataClient := metadata.NewForConfigOrDie(config)
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery()))
	factory := informerfactory.NewInformerFactory(
		informers.NewSharedInformerFactory(client, 0), metadatainformer.NewSharedInformerFactory(metadataClient, 0))
	started := make(chan struct{})
	collector, err := garbagecollector.NewGarbageCollector(
		ctx, client, metadataClient, mapper, garbagecollector.DefaultIgnoredResources(), factory, started)
	if err != nil {
		log.Fatalf("the garbage collector: %v", err)
	}
	factory.Start(ctx.Done())
	close(started)
	go collector.Sync(ctx, client.Discovery(), lookForKindsS*time.Second)
	collector.Run(ctx, workers, 30*time.Second)
}
