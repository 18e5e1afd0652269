package network

import "testing"

func TestShortName(t *testing.T) {
	for region, want := range map[string]string{"us-east-1": "use1", "eu-central-1": "euc1", "ap-southeast-2": "apse2", "ap-northeast-3": "apne3", "isle-1": "is1", "x": "x", "": "", "a--b": "ab"} {
		if got := shortName(region); got != want {
			t.Errorf("%s: %s, not %s", region, got, want)
		}
	}
}
