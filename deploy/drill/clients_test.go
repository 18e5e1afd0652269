package drill

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"skerry/deploy/lab"
	"skerry/deploy/operator"
	"skerry/events"
)

// journal is what clients were promised, kept outside of the region.
type journal struct {
	mu        sync.Mutex
	acks      []time.Time
	accounts  []string
	instances []string
}

func (j *journal) ack(list *[]string, what string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.acks = append(j.acks, time.Now())
	*list = append(*list, what)
}

func (j *journal) count() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.acks)
}

// longest is the longest time without any acknowledgement.
func (j *journal) longest() time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	var d time.Duration
	for i := 1; i < len(j.acks); i++ {
		d = max(d, j.acks[i].Sub(j.acks[i-1]))
	}
	return d
}

// writeAccounts makes accounts, one after another, until ctx ends. Each command
// is retried under its own id by the bus client, so it acts once.
func writeAccounts(ctx context.Context, r *lab.Region, name string, j *journal) error {
	op, err := operator.Connect(r)
	if err != nil {
		return err
	}
	defer op.Close()
	for i := 0; ctx.Err() == nil; i++ {
		who := fmt.Sprintf("%s-%d", name, i)
		if err := op.Send(ctx, events.CreateAccount{Name: who}); err != nil {
			if ctx.Err() != nil {
				return nil // never acknowledged: it may be there or not
			}
			return fmt.Errorf("%s: %w", who, err)
		}
		j.ack(&j.accounts, who)
	}
	return nil
}

// api is a client of the EC2 endpoint that retries as the AWS CLI does: with
// the same client token, after errors of the connection and of the server.
type api struct {
	endpoint, region string
	keys             struct{ AccessKeyId, SecretAccessKey string }
	http             http.Client
}

func newAPI(r *lab.Region) (*api, error) {
	a := &api{endpoint: fmt.Sprintf("http://127.0.0.1:%d", r.Ports["api"]), region: r.Name, http: http.Client{Timeout: 10 * time.Second}}
	b, err := os.ReadFile(r.Path("credentials.json"))
	if err != nil {
		return nil, err
	}
	return a, json.Unmarshal(b, &a.keys)
}

// call runs one action and decodes its reply into out.
func (a *api) call(ctx context.Context, form url.Values, out any) error {
	form.Set("Version", "2016-11-15")
	body := []byte(form.Encode())
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, 300*time.Millisecond) {
		again, err := a.once(ctx, body, out)
		if err == nil || !again || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

func (a *api) once(ctx context.Context, body []byte, out any) (again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.endpoint+"/", bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	sum := sha256.Sum256(body)
	creds := aws.Credentials{AccessKeyID: a.keys.AccessKeyId, SecretAccessKey: a.keys.SecretAccessKey}
	if err := v4.NewSigner().SignHTTP(ctx, creds, req, hex.EncodeToString(sum[:]), "ec2", a.region, time.Now()); err != nil {
		return false, err
	}
	res, err := a.http.Do(req)
	if err != nil {
		return true, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return true, err
	}
	if res.StatusCode != http.StatusOK {
		return res.StatusCode >= 500, fmt.Errorf("%s: %s", res.Status, b)
	}
	return false, xml.Unmarshal(b, out)
}

// instance is one instance in a reply.
type instance struct {
	ID    string `xml:"instanceId"`
	State string `xml:"instanceState>name"`
	Zone  string `xml:"placement>availabilityZone"`
	Why   string `xml:"stateReason>message"`
}

// image finds the region's own image.
func (a *api) image(ctx context.Context) (string, error) {
	var out struct {
		IDs []string `xml:"imagesSet>item>imageId"`
	}
	err := a.call(ctx, url.Values{"Action": {"DescribeImages"}, "Owner.1": {"amazon"}, "Filter.1.Name": {"name"}, "Filter.1.Value.1": {"skerry-linux"}}, &out)
	if err == nil && len(out.IDs) == 0 {
		err = fmt.Errorf("the region offers no image skerry-linux")
	}
	if err != nil {
		return "", err
	}
	return out.IDs[0], nil
}

// writeInstances runs up to n instances, one after another, until ctx ends. The
// one that is on its way then is still asked for: all that are there are in j.
func writeInstances(ctx context.Context, a *api, image, name string, n int, j *journal) error {
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	for i := 0; i < n && ctx.Err() == nil; i++ {
		var out struct {
			Instances []instance `xml:"instancesSet>item"`
		}
		token := fmt.Sprintf("%s-%d", name, i)
		err := a.call(asking, url.Values{"Action": {"RunInstances"}, "ImageId": {image}, "InstanceType": {"sk1.tiny"},
			"MinCount": {"1"}, "MaxCount": {"1"}, "ClientToken": {token}}, &out)
		if err != nil {
			return fmt.Errorf("%s: %w", token, err)
		}
		if len(out.Instances) != 1 {
			return fmt.Errorf("%s: %d instances", token, len(out.Instances))
		}
		j.ack(&j.instances, out.Instances[0].ID)
	}
	return nil
}

// terminate ends instances.
func (a *api) terminate(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	form := url.Values{"Action": {"TerminateInstances"}}
	for i, id := range ids {
		form.Set(fmt.Sprintf("InstanceId.%d", i+1), id)
	}
	var out struct{}
	return a.call(ctx, form, &out)
}

// instances lists all instances by id.
func (a *api) instances(ctx context.Context) (map[string]instance, error) {
	all := map[string]instance{}
	token := ""
	for {
		var out struct {
			Instances []instance `xml:"reservationSet>item>instancesSet>item"`
			Next      string     `xml:"nextToken"`
		}
		form := url.Values{"Action": {"DescribeInstances"}, "MaxResults": {"1000"}}
		if token != "" {
			form.Set("NextToken", token)
		}
		if err := a.call(ctx, form, &out); err != nil {
			return nil, err
		}
		for _, i := range out.Instances {
			if _, twice := all[i.ID]; twice {
				return nil, fmt.Errorf("%s is listed twice", i.ID)
			}
			all[i.ID] = i
		}
		if token = strings.TrimSpace(out.Next); token == "" {
			return all, nil
		}
	}
}
