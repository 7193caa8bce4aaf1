package fleet

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
)

// call makes a request, with a token of Consul's if there is one, and hands the answer over if it is a good one.
func call(ctx context.Context, client *http.Client, token, method, url string, body []byte, read func([]byte) error) error {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("X-Consul-Token", token)
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %.200s", method, url, response.Status, text)
	}
	if read == nil {
		return nil
	}
	return read(text)
}
