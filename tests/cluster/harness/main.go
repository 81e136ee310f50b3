// Command k8s-harness is the Kubernetes components of one release, unmodified, in one binary. For tests only.
//
//	k8s-harness kube-apiserver|kube-controller-manager|kube-scheduler|kubelet [flags...]
//
// They share most of their code, so that one binary of all four is little more than the largest of them.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func command(name string) *cobra.Command {
	switch name {
	case "kube-apiserver":
		return apiserver.NewAPIServerCommand()
	case "kube-controller-manager":
		return controllers.NewControllerManagerCommand()
	case "kube-scheduler":
		return scheduler.NewSchedulerCommand()
	case "kubelet":
		return kubelet.NewKubeletCommand(context.Background())
	}
	return nil
}

func main() {
	if len(os.Args) > 1 {
		if component := command(os.Args[1]); component != nil {
			os.Args = os.Args[1:] // the kubelet reads os.Args itself, from the second on
			os.Exit(cli.Run(component))
		}
	}
	fmt.Fprintln(os.Stderr, "usage: k8s-harness kube-apiserver|kube-controller-manager|kube-scheduler|kubelet [flags]")
	os.Exit(2)
}
