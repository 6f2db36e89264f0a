// A receiver of remote write, made of client_golang's own handler: it prints each request that it stored as JSON.
//
// receiver ADDRESS all|first: which versions of the protocol it takes. It does not store series called refused.
package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"

	"github.com/prometheus/client_golang/exp/api/remote"
	writev2 "github.com/prometheus/client_golang/exp/api/remote/genproto/v2"
	"google.golang.org/protobuf/proto"
)

type series struct {
	Labels    map[string]string  `json:"labels"`
	Value     *float64           `json:"value"`
	Histogram *writev2.Histogram `json:"histogram"`
	Time      int64              `json:"time"`
	Type      string             `json:"type"`
	Help      string             `json:"help"`
	Created   int64              `json:"created"`
}

type printer struct{ sync.Mutex }

func (p *printer) Store(request *http.Request, message remote.WriteMessageType) (*remote.WriteResponse, error) {
	response := remote.NewWriteResponse()
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return response, err
	}
	if message == remote.WriteV1MessageType {
		p.print(map[string]any{"version": 1, "bytes": len(body)})
		response.SetStatusCode(http.StatusNoContent)
		return response, nil
	}
	var decoded writev2.Request
	if err := proto.Unmarshal(body, &decoded); err != nil {
		response.SetStatusCode(http.StatusBadRequest)
		return response, err
	}
	stored, refused := []series{}, false
	for _, one := range decoded.Timeseries {
		read := read(&decoded, one)
		if read.Labels["__name__"] == "refused" {
			refused = true
			continue
		}
		stored = append(stored, read)
		response.Samples += len(one.Samples)
		response.Histograms += len(one.Histograms)
	}
	p.print(map[string]any{"version": 2, "series": stored})
	if refused {
		response.SetStatusCode(http.StatusBadRequest)
		return response, errors.New("a series is refused")
	}
	response.SetStatusCode(http.StatusNoContent)
	return response, nil
}

func read(request *writev2.Request, one *writev2.TimeSeries) series {
	text := func(reference uint32) string { return request.Symbols[reference] }
	result := series{Labels: map[string]string{}, Created: one.CreatedTimestamp}
	for at := 0; at+1 < len(one.LabelsRefs); at += 2 {
		result.Labels[text(one.LabelsRefs[at])] = text(one.LabelsRefs[at+1])
	}
	for _, sample := range one.Samples {
		result.Value, result.Time = &sample.Value, sample.Timestamp
	}
	for _, histogram := range one.Histograms {
		result.Histogram, result.Time = histogram, histogram.Timestamp
	}
	if one.Metadata != nil {
		result.Type, result.Help = one.Metadata.Type.String(), text(one.Metadata.HelpRef)
	}
	return result
}

func (p *printer) print(what any) {
	p.Lock()
	defer p.Unlock()
	if err := json.NewEncoder(os.Stdout).Encode(what); err != nil {
		panic(err)
	}
}

func main() {
	accepted := remote.MessageTypes{remote.WriteV1MessageType}
	if os.Args[2] == "all" {
		accepted = append(accepted, remote.WriteV2MessageType)
	}
	handler := remote.NewWriteHandler(&printer{}, accepted)
	panic(http.ListenAndServe(os.Args[1], handler))
}
