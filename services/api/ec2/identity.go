package ec2

import (
	"context"

	"skerry/services/api"
	"skerry/services/api/model"
	"skerry/services/seal"
	"skerry/services/state"
)

// Keys finds who an access key belongs to: sigv4.Keys. View is the voter's own
// state, which may be a moment behind the leader's.
type Keys struct {
	View func() *state.View
	Key  *seal.Key
}

// Secret is the secret of an access key, and its account.
func (k Keys) Secret(accessKeyID string) (secret, account string, ok bool) {
	a, ok := k.View().AccountByKey(accessKeyID)
	if !ok {
		return "", "", false
	}
	return k.Key.Secret(accessKeyID), string(a.ID), true
}

// GetCallerIdentity tells the caller who it is: every key is an account's root
// ("GetCallerIdentity" in the STS API reference).
func (h *Handlers) GetCallerIdentity(_ context.Context, c *api.Call, _ *model.GetCallerIdentityInput) (*model.GetCallerIdentityOutput, error) {
	return &model.GetCallerIdentityOutput{Account: &c.Account, UserId: &c.Account, Arn: new(arn(c.Account))}, nil
}
