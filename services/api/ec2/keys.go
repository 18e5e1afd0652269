package ec2

import (
	"context"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/filter"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/api/tags"
	"skerry/services/state"
)

// CreateKeyPair draws a pair at the door: the private half is in the reply and
// nowhere else.
func (h *Handlers) CreateKeyPair(ctx context.Context, c *api.Call, in *model.CreateKeyPairInput) (*model.CreateKeyPairOutput, error) {
	if f := value(in.KeyFormat); f != "" && f != "pem" {
		return nil, unsupported("KeyFormat", "the format '%s' is not made here; take pem and convert it with puttygen.", f)
	}
	specs, err := tags.Specs(in.TagSpecifications, "key-pair")
	if err != nil {
		return nil, err
	}
	kind := value(in.KeyType)
	if kind == "" {
		kind = "rsa"
	}
	pair, err := newPair(kind, value(in.KeyName))
	if err != nil {
		return nil, err
	}
	made, t, err := h.importKey(ctx, c, value(in.KeyName), pair.publicKey, specs["key-pair"])
	if err != nil {
		return nil, err
	}
	return &model.CreateKeyPairOutput{KeyName: in.KeyName, KeyPairId: some(made.ID), KeyFingerprint: &made.Fingerprint, KeyMaterial: &pair.private, Tags: shownTags(t)}, nil
}

// ImportKeyPair stores the public half of the caller's own pair.
func (h *Handlers) ImportKeyPair(ctx context.Context, c *api.Call, in *model.ImportKeyPairInput) (*model.ImportKeyPairOutput, error) {
	specs, err := tags.Specs(in.TagSpecifications, "key-pair")
	if err != nil {
		return nil, err
	}
	pub, err := parsePublic(in.PublicKeyMaterial, value(in.KeyName))
	if err != nil {
		return nil, err
	}
	made, t, err := h.importKey(ctx, c, value(in.KeyName), pub, specs["key-pair"])
	if err != nil {
		return nil, err
	}
	return &model.ImportKeyPairOutput{KeyName: in.KeyName, KeyPairId: some(made.ID), KeyFingerprint: &made.Fingerprint, Tags: shownTags(t)}, nil
}

func (h *Handlers) importKey(ctx context.Context, c *api.Call, name string, k publicKey, t []events.Tag) (made events.KeyPairCreated, shown []events.Tag, err error) {
	reply, err := h.do(ctx, c, 0, events.ImportKeyPair{Name: name, Type: k.kind, PublicKey: k.line, Fingerprint: k.fingerprint, Tags: t})
	for _, r := range reply.Events {
		switch e := r.Event.(type) {
		case events.KeyPairCreated:
			made = e
		case events.ResourceTagged:
			shown = e.Tags
		}
	}
	return made, shown, err
}

// DeleteKeyPair forgets a key by name or by id.
func (h *Handlers) DeleteKeyPair(ctx context.Context, c *api.Call, in *model.DeleteKeyPairInput) (*model.DeleteKeyPairOutput, error) {
	if in.KeyPairId != nil {
		if err := ids.KeyPair.Check(*in.KeyPairId); err != nil {
			return nil, err
		}
	}
	if err := notTogether("KeyName", in.KeyName != nil, "KeyPairId", in.KeyPairId != nil); err != nil {
		return nil, err
	}
	reply, err := h.do(ctx, c, 0, events.DeleteKeyPair{Name: value(in.KeyName), ID: events.KeyPairID(value(in.KeyPairId))})
	if err != nil {
		return nil, err
	}
	out := &model.DeleteKeyPairOutput{Return: new(true)}
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.KeyPairDeleted); ok {
			out.KeyPairId = some(e.ID)
		}
	}
	return out, nil
}

type keyRow = row[model.KeyPairInfo]

var keyListing = listing[model.KeyPairInfo]{fields: filter.Fields[keyRow]{
	"key-pair-id": func(r keyRow) []string { return word(r.shown.KeyPairId) },
	"fingerprint": func(r keyRow) []string { return word(r.shown.KeyFingerprint) },
	"key-name":    func(r keyRow) []string { return word(r.shown.KeyName) },
}}

// DescribeKeyPairs lists the account's keys by name.
func (h *Handlers) DescribeKeyPairs(ctx context.Context, c *api.Call, in *model.DescribeKeyPairsInput) (*model.DescribeKeyPairsOutput, error) {
	if err := ids.KeyPair.CheckAll(in.KeyPairIds); err != nil {
		return nil, err
	}
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	account := events.AccountID(c.Account)
	show := func(k *state.KeyPair) keyRow {
		t := v.TagsOf(string(k.ID))
		s := model.KeyPairInfo{KeyName: &k.Name, KeyPairId: some(k.ID), KeyFingerprint: &k.Fingerprint, KeyType: &k.Type, CreateTime: &k.At, Tags: shownTags(t)}
		if value(in.IncludePublicKey) {
			s.PublicKey = &k.PublicKey
		}
		return keyRow{key: k.Name, shown: s, tags: t}
	}
	all := func(yield func(keyRow)) {
		for k := range v.KeyPairsOf(account) {
			yield(show(k))
		}
	}
	var rows []keyRow
	if len(in.KeyPairIds) > 0 {
		rows, err = byID(in.KeyPairIds, func(id string) (keyRow, bool) {
			k, ok := v.KeyPairByID(account, events.KeyPairID(id))
			if !ok {
				return keyRow{}, false
			}
			return show(k), true
		}, nil, notFound(ids.KeyPair, "key pair"))
		if err != nil {
			return nil, err
		}
	}
	if len(in.KeyNames) > 0 || len(in.KeyPairIds) == 0 {
		named, err := byID(in.KeyNames, func(n string) (keyRow, bool) {
			k, ok := v.KeyPair(account, n)
			if !ok {
				return keyRow{}, false
			}
			return show(k), true
		}, all, func(names []string) error {
			return events.Faultf(ids.KeyPair.NotFound, "The key pair '%s' does not exist", names[0])
		})
		if err != nil {
			return nil, err
		}
		for _, r := range named {
			if !contains(rows, r.key) {
				rows = append(rows, r)
			}
		}
	}
	out := new(model.DescribeKeyPairsOutput)
	out.KeyPairs, _, err = keyListing.choose(h, c, ask{filters: in.Filters}, rows)
	return out, err
}

func contains[S any](rows []row[S], key string) bool {
	for _, r := range rows {
		if r.key == key {
			return true
		}
	}
	return false
}
