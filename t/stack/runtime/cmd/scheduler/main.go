// The Dapr scheduler service, unchanged: it keeps the jobs of the Jobs API.
package main

import "github.com/dapr/dapr/cmd/scheduler/app"

func main() {
	app.Run()
}
