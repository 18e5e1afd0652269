// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
//
// The VPC data plane: one small TC program for each way into a node.
//
//   from_guest    a tap            what a guest sends
//   from_fabric   the VXLAN device what other nodes send to guests here
//   from_service  the service veth what metadata and resolver answer
//   igw_fabric    the VXLAN device of a gateway: from a VPC to the outside
//   igw_uplink    the uplink of a gateway: from the outside to a VPC
//
// datapath/memory is the same in Go, easier to read; both must decide alike.
// Whatever is not understood is dropped with a reason. The licence is the one
// that bpf_ktime_get_ns asks for.
//
// Addresses are 16 bytes, IPv4 mapped, so that IPv6 changes no map.
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <stddef.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

char _license[] SEC("license") = "Dual BSD/GPL";

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;

// A run by BPF_PROG_RUN has no tunnel: then cb[3] and cb[4] are the network and
// the sending node. In service this is false and the verifier removes it.
const volatile u32 testing = 0;

// Why a packet went no further; the order is that of datapath.Reason.
enum reason {
	SENT, DELIVERED, UNKNOWN_PORT, MALFORMED, SOURCE_MAC, ARP, BROADCAST, ETHERTYPE, SOURCE_ADDRESS, SERVICE,
	EGRESS_RULE, NO_ROUTE, BLACKHOLE, NO_MAPPING, DESTINATION, INGRESS_RULE, FRAGMENT, SENDER, SENDER_ADDRESS,
	NOT_HERE, NO_GATEWAY, NO_PUBLIC, TOO_BIG, TTL, OPTIONS, ENCAP,
};

enum { NO_SOURCE_CHECK = 1 };                                  // flags of ports, of addresses and of interfaces
enum { ROUTE_LOCAL = 1, ROUTE_GATEWAY, ROUTE_INTERFACE, ROUTE_BLACKHOLE };
enum { ANY_PROTOCOL = 1, MEMBERS = 2 };                        // flags of rules
enum { EGRESS = 0, INGRESS = 1 };

#define GROUPS 16 // security groups of an interface
#define RULES 128 // rules of a group in one direction

struct addr { u32 w[4]; };

struct port {
	u32 id; // of this node, not reused while flows may know it
	u32 vni, subnet, flags, ifindex;
	struct addr private, router, resolver;
	u32 groups[GROUPS];
	u8 mac[6], router_mac[6];
	char interface[24], tap[16];
};
struct mac_key { u32 vni; u8 mac[6]; u16 zero; };
struct addr_key { u32 vni; struct addr addr; };
struct mapping { u32 host, subnet, flags; };                   // (network, MAC)
struct owner { u32 subnet; u32 groups[GROUPS]; u8 mac[6]; u16 zero; }; // (network, address)
struct prefix_key { u32 bits; u32 table; struct addr addr; };
struct route { u32 kind; u8 mac[6]; u16 zero; };
struct rules_key { u32 group, direction; };
struct rule { struct addr net; u32 group; u16 from, to; u8 bits, proto, flags, zero; };
struct rules { u32 count, zero; struct rule rule[RULES]; };
struct host_key { u32 vni, host; };
struct public { struct addr private; u32 vni, host, announce, none; u8 mac[6]; u16 zero; u64 epoch; char interface[24]; };
struct outside { u32 public, host; u8 mac[6]; u16 zero; };
struct flow_key { struct addr local, peer; u16 lport, pport; u8 proto, fragment; u16 zero; };
struct flow_state { u64 seen; u32 bits, zero; };
struct counter_key { u32 port, reason; };
struct counter { u64 packets, bytes; };
struct config {
	u32 host, vxlan, service, uplink, next_hop, uplink_addr, uplink_mtu;
	u8 service_mac[6], uplink_mac[6];
};

#define MAP(name, kind, k, v, n, f)                                                                            \
	struct { __uint(type, kind); __type(key, k); __type(value, v); __uint(max_entries, n); __uint(map_flags, f); \
		__uint(pinning, LIBBPF_PIN_BY_NAME); } name SEC(".maps")
MAP(config, BPF_MAP_TYPE_ARRAY, u32, struct config, 1, 0);
MAP(last_id, BPF_MAP_TYPE_ARRAY, u32, u32, 1, 0); // last number given to a port, for the agent
MAP(ports, BPF_MAP_TYPE_HASH, u32, struct port, 4096, BPF_F_NO_PREALLOC);           // by ifindex
MAP(port_ids, BPF_MAP_TYPE_HASH, u32, u32, 4096, BPF_F_NO_PREALLOC);                // id to ifindex
MAP(local, BPF_MAP_TYPE_HASH, struct mac_key, u32, 4096, BPF_F_NO_PREALLOC);        // to ifindex
MAP(mappings, BPF_MAP_TYPE_HASH, struct mac_key, struct mapping, 1048576, BPF_F_NO_PREALLOC);
MAP(owners, BPF_MAP_TYPE_HASH, struct addr_key, struct owner, 1048576, BPF_F_NO_PREALLOC);
MAP(subnets, BPF_MAP_TYPE_HASH, u32, u32, 65536, BPF_F_NO_PREALLOC);                // to route table
MAP(routes, BPF_MAP_TYPE_LPM_TRIE, struct prefix_key, struct route, 262144, BPF_F_NO_PREALLOC);
MAP(rules, BPF_MAP_TYPE_HASH, struct rules_key, struct rules, 65536, BPF_F_NO_PREALLOC);
MAP(networks, BPF_MAP_TYPE_HASH, u32, u32, 65536, BPF_F_NO_PREALLOC);               // to gateway to send to
MAP(gateways, BPF_MAP_TYPE_HASH, struct host_key, u32, 65536, BPF_F_NO_PREALLOC);   // to accept from
MAP(publics, BPF_MAP_TYPE_HASH, struct addr, struct public, 65536, BPF_F_NO_PREALLOC);
MAP(outsides, BPF_MAP_TYPE_HASH, struct addr_key, struct outside, 65536, BPF_F_NO_PREALLOC);
MAP(counters, BPF_MAP_TYPE_PERCPU_HASH, struct counter_key, struct counter, 65536, BPF_F_NO_PREALLOC);

// The flows of each port are in a map of its own: a port that opens too many
// evicts its own and nobody else's.
struct flow_map {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(key_size, sizeof(struct flow_key));
	__uint(value_size, sizeof(struct flow_state));
	__uint(max_entries, 16384);
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__type(key, u32);
	__uint(max_entries, 4096);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__array(values, struct flow_map);
} flows SEC(".maps");

#define L3 ETH_HLEN
#define L4 (ETH_HLEN + 20)

struct ipv4 { u8 vihl, tos; u16 len, id, frag; u8 ttl, proto; u16 check; u32 src, dst; };
struct arp { u16 hw, proto; u8 hwlen, plen; u16 op; u8 sha[6]; u8 spa[4]; u8 tha[6]; u8 tpa[4]; } __attribute__((packed));

// What a packet says of itself. Kinds: tracked as a flow, about a flow (an ICMP
// error), or neither (other ICMP).
enum { UNTRACKED, TRACKED, ABOUT };
struct packet {
	struct addr src, dst;
	struct addr isrc, idst; // of the packet that an ICMP error quotes
	u16 sport, dport;       // network order; for an echo its id and whether it is the reply
	u16 isport, idport;
	u16 len, id;
	u8 proto, iproto, kind, fragment; // fragment: 1 first, 2 later
	u8 type, code, tcp, ttl;
	u8 df, tos;
};

static __always_inline int count(struct __sk_buff *skb, u32 port, u32 reason)
{
	struct counter_key k = { port, reason };
	struct counter *c = bpf_map_lookup_elem(&counters, &k);
	if (c) {
		c->packets++;
		c->bytes += skb->len;
		return TC_ACT_SHOT;
	}
	struct counter one = { 1, skb->len };
	bpf_map_update_elem(&counters, &k, &one, BPF_NOEXIST);
	return TC_ACT_SHOT;
}

static __always_inline void copy_mac(u8 *to, const u8 *from)
{
	for (int i = 0; i < 6; i++)
		to[i] = from[i];
}

static __always_inline int same_mac(const u8 *a, const u8 *b)
{
	u8 x = 0;
	for (int i = 0; i < 6; i++)
		x |= a[i] ^ b[i];
	return !x;
}

static __always_inline int same_addr(const struct addr *a, const struct addr *b)
{
	return a->w[0] == b->w[0] && a->w[1] == b->w[1] && a->w[2] == b->w[2] && a->w[3] == b->w[3];
}

static __always_inline struct addr mapped(u32 ip)
{
	return (struct addr){ { 0, 0, bpf_htonl(0xffff), ip } };
}

static __always_inline void gateway_mac(u8 *m, u32 vni)
{
	m[0] = 0x02;
	m[1] = 0xff;
	m[2] = vni >> 24;
	m[3] = vni >> 16;
	m[4] = vni >> 8;
	m[5] = vni;
}

static __always_inline struct config *conf(void)
{
	u32 zero = 0;
	return bpf_map_lookup_elem(&config, &zero);
}

static __always_inline struct owner *owner_of(u32 vni, const struct addr *a)
{
	struct addr_key k = { vni, *a };
	return bpf_map_lookup_elem(&owners, &k);
}

// parse fills p and returns 0, or says why not.
static __noinline int parse(struct __sk_buff *skb, struct packet *p)
{
	struct ipv4 ip;
	if (bpf_skb_load_bytes(skb, L3, &ip, sizeof ip) || ip.vihl >> 4 != 4 || (ip.vihl & 15) < 5)
		return MALFORMED;
	if (ip.vihl != 0x45)
		return OPTIONS;
	u32 len = bpf_ntohs(ip.len);
	if (len < 20 || len + L3 > skb->len)
		return MALFORMED;
	p->src = mapped(ip.src);
	p->dst = mapped(ip.dst);
	p->proto = ip.proto;
	p->ttl = ip.ttl;
	p->tos = ip.tos;
	p->len = len;
	p->id = ip.id;
	p->kind = TRACKED;
	u32 frag = bpf_ntohs(ip.frag);
	p->df = !!(frag & 0x4000);
	if (frag & 0x1fff) {
		// A fragment that would overwrite the ports or flags of the first (RFC 3128).
		if (ip.proto == IPPROTO_TCP && (frag & 0x1fff) < 3)
			return FRAGMENT;
		p->fragment = 2;
		return 0;
	}
	p->fragment = !!(frag & 0x2000);
	if (ip.proto == IPPROTO_TCP) {
		u8 b[14];
		if (len < 40 || bpf_skb_load_bytes(skb, L4, b, sizeof b))
			return MALFORMED;
		p->sport = *(u16 *)b;
		p->dport = *(u16 *)(b + 2);
		p->tcp = b[13];
		return 0;
	}
	if (ip.proto == IPPROTO_UDP) {
		u16 b[2];
		if (len < 28 || bpf_skb_load_bytes(skb, L4, b, sizeof b))
			return MALFORMED;
		p->sport = b[0];
		p->dport = b[1];
		return 0;
	}
	if (ip.proto != IPPROTO_ICMP)
		return 0;
	u8 b[8];
	if (len < 28 || bpf_skb_load_bytes(skb, L4, b, sizeof b))
		return MALFORMED;
	p->type = b[0];
	p->code = b[1];
	if (p->type == 8 || p->type == 0) {
		p->sport = *(u16 *)(b + 4);
		p->dport = p->type == 0;
		return 0;
	}
	p->kind = UNTRACKED;
	if (p->type != 3 && p->type != 11 && p->type != 12)
		return 0;
	if (len < 28 + 20 || bpf_skb_load_bytes(skb, L4 + 8, &ip, sizeof ip))
		return 0;
	u32 ihl = (ip.vihl & 15) * 4;
	if (ip.vihl >> 4 != 4 || ihl < 20 || len < 28 + ihl + 8 || bpf_ntohs(ip.frag) & 0x1fff || ip.src != p->dst.w[3])
		return 0;
	if (bpf_skb_load_bytes(skb, L4 + 8 + ihl, b, sizeof b))
		return 0;
	p->isrc = mapped(ip.src);
	p->idst = mapped(ip.dst);
	p->iproto = ip.proto;
	p->isport = *(u16 *)b;
	p->idport = *(u16 *)(b + 2);
	if (ip.proto == IPPROTO_ICMP) {
		if (b[0] != 8 && b[0] != 0)
			return 0;
		p->isport = *(u16 *)(b + 4);
		p->idport = b[0] == 0;
	} else if (ip.proto != IPPROTO_TCP && ip.proto != IPPROTO_UDP) {
		p->isport = p->idport = 0;
	}
	p->kind = ABOUT;
	return 0;
}

// flow_of names a flow as the port sees it: the same key for both directions.
// An echo is a flow of whoever asked, so that a request never passes as the
// answer to one.
static __always_inline void flow_of(struct flow_key *k, const struct packet *p, u32 direction)
{
	u16 sport, dport;
	const struct addr *src, *dst;
	if (p->kind == ABOUT) { // the quoted packet went the other way
		direction = !direction;
		src = &p->isrc;
		dst = &p->idst;
		sport = p->isport;
		dport = p->idport;
		k->proto = p->iproto;
	} else {
		src = &p->src;
		dst = &p->dst;
		sport = p->sport;
		dport = p->dport;
		k->proto = p->proto;
	}
	if (k->proto == IPPROTO_ICMP) {
		k->lport = sport;
		k->pport = dport ^ direction;
	} else {
		k->lport = direction == EGRESS ? sport : dport;
		k->pport = direction == EGRESS ? dport : sport;
	}
	k->local = direction == EGRESS ? *src : *dst;
	k->peer = direction == EGRESS ? *dst : *src;
}

// fragment_of names the rest of a packet whose first fragment passed.
static __always_inline void fragment_of(struct flow_key *k, const struct packet *p, u32 direction)
{
	k->local = direction == EGRESS ? p->src : p->dst;
	k->peer = direction == EGRESS ? p->dst : p->src;
	k->lport = p->id;
	k->pport = 0;
	k->proto = p->proto;
	k->fragment = 1 + direction;
}

// States of a flow, and how long it is remembered without a packet.
enum { OUT_SEEN = 1, IN_SEEN = 2, OUT_FIN = 4, IN_FIN = 8, RESET = 16 };
#define SECOND 1000000000ull

static __always_inline u64 patience(u8 proto, u32 bits)
{
	int both = (bits & (OUT_SEEN | IN_SEEN)) == (OUT_SEEN | IN_SEEN);
	if (proto == IPPROTO_TCP) {
		if (bits & RESET || (bits & (OUT_FIN | IN_FIN)) == (OUT_FIN | IN_FIN))
			return 10 * SECOND;
		if (bits & (OUT_FIN | IN_FIN))
			return 120 * SECOND;
		return both ? 432000 * SECOND : 60 * SECOND;
	}
	if (proto == IPPROTO_ICMP)
		return 30 * SECOND;
	return both ? 180 * SECOND : 30 * SECOND;
}

struct asking {
	struct port *of;
	struct rules *rules;
	u32 *groups; // of the peer; 0: none
	struct addr peer;
	u32 direction;
	u16 port; // host order
	u8 proto, type, code, hit;
};

static __always_inline u32 mask(int bits)
{
	return bits <= 0 ? 0 : bits >= 32 ? 0xffffffff : bpf_htonl(0xffffffffu << (32 - bits));
}

static int matches(u32 i, struct asking *a)
{
	if (i >= RULES || i >= a->rules->count)
		return 1;
	struct rule *r = &a->rules->rule[i];
	if (!(r->flags & ANY_PROTOCOL)) {
		if (r->proto != a->proto)
			return 0;
		if (a->proto == IPPROTO_TCP || a->proto == IPPROTO_UDP) {
			if (a->port < r->from || a->port > r->to)
				return 0;
		} else if (a->proto == IPPROTO_ICMP) {
			if ((r->from != 0xffff && r->from != a->type) || (r->to != 0xffff && r->to != a->code))
				return 0;
		}
	}
	if (r->flags & MEMBERS) {
		u32 *g = a->groups;
		if (!g)
			return 0;
		u32 none = 1; // without branches: the verifier walks each of them
		for (int j = 0; j < GROUPS; j++) {
			u32 x = g[j] ^ r->group;
			none &= (x | -x) >> 31;
		}
		if (none)
			return 0;
		a->hit = 1;
		return 1;
	}
	int bits = r->bits;
	u32 d = (a->peer.w[0] ^ r->net.w[0]) & mask(bits);
	d |= (a->peer.w[1] ^ r->net.w[1]) & mask(bits - 32);
	d |= (a->peer.w[2] ^ r->net.w[2]) & mask(bits - 64);
	d |= (a->peer.w[3] ^ r->net.w[3]) & mask(bits - 96);
	if (d)
		return 0;
	a->hit = 1;
	return 1;
}

static int in_group(u32 i, struct asking *a)
{
	if (i >= GROUPS)
		return 1;
	struct rules_key k = { a->of->groups[i], a->direction };
	if (!k.group)
		return 1;
	a->rules = bpf_map_lookup_elem(&rules, &k);
	if (!a->rules)
		return 0;
	bpf_loop(RULES, matches, a, 0);
	return a->hit ? 1 : 0;
}

// allowed says whether a rule of the port's groups lets a first packet through.
static __noinline int allowed(struct port *port, struct packet *p, u32 *groups, u32 direction)
{
	struct asking a = { .of = port, .direction = direction, .groups = groups, .port = bpf_ntohs(p->dport), .proto = p->proto, .type = p->type, .code = p->code };
	a.peer = direction == EGRESS ? p->dst : p->src;
	bpf_loop(GROUPS, in_group, &a, 0);
	return a.hit;
}

// admit is the security groups of a port: what belongs to a known flow passes,
// and so does what a rule allows, which makes a flow. It returns 0 or why not.
static __noinline int admit(struct port *port, struct packet *p, u32 *groups, u32 direction)
{
	u32 refused = direction == EGRESS ? EGRESS_RULE : INGRESS_RULE;
	void *m = bpf_map_lookup_elem(&flows, &port->id);
	if (!m)
		return refused;
	u64 now = bpf_ktime_get_ns();
	struct flow_key k = {};
	if (p->fragment == 2) {
		fragment_of(&k, p, direction);
		struct flow_state *s = bpf_map_lookup_elem(m, &k);
		return s && now - s->seen < 30 * SECOND ? 0 : FRAGMENT;
	}
	if (p->kind != UNTRACKED) {
		flow_of(&k, p, direction);
		struct flow_state *s = bpf_map_lookup_elem(m, &k);
		if (s && now - s->seen < patience(k.proto, s->bits)) {
			if (p->kind == ABOUT)
				goto pass;
			// A SYN always asks the rules: the flow it would belong to is over.
			if (!(p->proto == IPPROTO_TCP && (p->tcp & 0x12) == 0x02)) {
				u32 bits = s->bits | (direction == EGRESS ? OUT_SEEN : IN_SEEN);
				if (p->proto == IPPROTO_TCP) {
					if (p->tcp & 1)
						bits |= direction == EGRESS ? OUT_FIN : IN_FIN;
					if (p->tcp & 4)
						bits |= RESET;
				}
				if (bits != s->bits)
					__sync_fetch_and_or(&s->bits, bits);
				if (now - s->seen > SECOND / 4)
					s->seen = now;
				goto pass;
			}
		}
	}
	if (!allowed(port, p, groups, direction))
		return refused;
	if (p->kind == TRACKED) {
		struct flow_state s = { .seen = now, .bits = direction == EGRESS ? OUT_SEEN : IN_SEEN };
		bpf_map_update_elem(m, &k, &s, BPF_ANY);
	}
pass:
	if (p->fragment) {
		struct flow_state s = { .seen = now };
		fragment_of(&k, p, direction);
		bpf_map_update_elem(m, &k, &s, BPF_ANY);
	}
	return 0;
}

static __always_inline void store_macs(struct __sk_buff *skb, const u8 *dst, const u8 *src)
{
	u8 m[12];
	copy_mac(m, dst);
	copy_mac(m + 6, src);
	bpf_skb_store_bytes(skb, 0, m, sizeof m, 0);
}

static __always_inline int out(struct __sk_buff *skb, u32 ifindex)
{
	if (testing) {
		skb->cb[0] = ifindex;
	}
	return bpf_redirect(ifindex, 0);
}

// deliver gives a packet to a port of this node. groups are the sender's, if
// they count; near says that the sender is in the port's subnet.
static __always_inline int deliver(struct __sk_buff *skb, struct packet *p, u32 ifindex, u32 *groups, int near, const u8 *from)
{
	struct port *t = bpf_map_lookup_elem(&ports, &ifindex);
	if (!t)
		return count(skb, 0, NOT_HERE);
	u32 id = t->id;
	if (!(t->flags & NO_SOURCE_CHECK)) {
		struct owner *o = owner_of(t->vni, &p->dst);
		if (!o || !same_mac(o->mac, t->mac))
			return count(skb, id, DESTINATION);
	}
	int no = admit(t, p, groups, INGRESS);
	if (no)
		return count(skb, id, no);
	u8 src[6], dst[6];
	copy_mac(dst, t->mac);
	copy_mac(src, near ? from : t->router_mac);
	store_macs(skb, dst, src);
	count(skb, id, DELIVERED);
	return out(skb, ifindex);
}

static __always_inline int encap(struct __sk_buff *skb, struct config *c, u32 port, u32 vni, u32 host)
{
	struct bpf_tunnel_key k = { .tunnel_id = vni, .remote_ipv4 = bpf_ntohl(host), .tunnel_ttl = 64, .local_ipv4 = bpf_ntohl(c->host) };
	if (bpf_skb_set_tunnel_key(skb, &k, sizeof k, BPF_F_ZERO_CSUM_TX))
		return count(skb, port, ENCAP);
	if (testing) {
		skb->cb[1] = vni;
		skb->cb[2] = host;
	}
	return out(skb, c->vxlan);
}

static __always_inline int decap(struct __sk_buff *skb, u32 *vni, u32 *host)
{
	if (testing) {
		*vni = skb->cb[3];
		*host = skb->cb[4];
		return 0;
	}
	struct bpf_tunnel_key k = {};
	if (bpf_skb_get_tunnel_key(skb, &k, sizeof k, 0))
		return -1;
	*vni = k.tunnel_id;
	*host = bpf_htonl(k.remote_ipv4);
	return 0;
}

#define METADATA bpf_htonl(0xa9fea9fe)     // 169.254.169.254
#define RESOLVER bpf_htonl(0xa9fea9fd)     // 169.254.169.253
#define VPC_RESOLVER bpf_htonl(0xa9fea9fc) // what the address of the VPC's resolver is inside of the service namespace
#define SERVICE_NET 0x64400000u            // 100.64.0.0/10: port N is 100.64.0.0 + N there
#define SERVICE_BITS 0x003fffffu

// rewrite replaces the source (which 0) or destination (1) address, and the one
// that an ICMP error quotes. That one changes neither the sum of the quoted
// header, which its own checksum keeps, nor the checksum of the ICMP message.
static __noinline int rewrite(struct __sk_buff *skb, struct packet *p, u32 which, u32 new)
{
	struct addr *a = which ? &p->dst : &p->src;
	u32 old = a->w[3];
	if (p->fragment != 2) {
		if (p->proto == IPPROTO_TCP)
			bpf_l4_csum_replace(skb, L4 + 16, old, new, BPF_F_PSEUDO_HDR | 4);
		else if (p->proto == IPPROTO_UDP)
			bpf_l4_csum_replace(skb, L4 + 6, old, new, BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0 | 4);
	}
	bpf_l3_csum_replace(skb, L3 + 10, old, new, 4);
	bpf_skb_store_bytes(skb, L3 + (which ? 16 : 12), &new, 4, BPF_F_RECOMPUTE_CSUM);
	if (p->kind == ABOUT) {
		struct addr *q = which ? &p->isrc : &p->idst;
		if (q->w[3] == old) {
			bpf_l3_csum_replace(skb, L4 + 8 + 10, old, new, 4);
			bpf_skb_store_bytes(skb, L4 + 8 + (which ? 12 : 16), &new, 4, BPF_F_RECOMPUTE_CSUM);
			q->w[3] = new;
		}
	}
	a->w[3] = new;
	return 0;
}

// answer_arp turns a question into its answer: the peer's own MAC, or the
// router's for the router and the services.
static __always_inline int answer_arp(struct __sk_buff *skb, struct port *port)
{
	struct arp a;
	if (bpf_skb_load_bytes(skb, L3, &a, sizeof a) || a.hw != bpf_htons(1) || a.proto != bpf_htons(ETH_P_IP) || a.hwlen != 6 ||
	    a.plen != 4 || a.op != bpf_htons(1) || !same_mac(a.sha, port->mac))
		return count(skb, port->id, ARP);
	u32 target, sender;
	__builtin_memcpy(&target, a.tpa, 4);
	__builtin_memcpy(&sender, a.spa, 4);
	struct addr t = mapped(target);
	u8 m[6];
	if (target == METADATA || target == RESOLVER || same_addr(&t, &port->resolver) || same_addr(&t, &port->router)) {
		copy_mac(m, port->router_mac);
	} else {
		struct owner *o = owner_of(port->vni, &t);
		if (!o || o->subnet != port->subnet || same_mac(o->mac, port->mac))
			return count(skb, port->id, ARP);
		copy_mac(m, o->mac);
	}
	a.op = bpf_htons(2);
	copy_mac(a.tha, port->mac);
	copy_mac(a.sha, m);
	__builtin_memcpy(a.spa, &target, 4);
	__builtin_memcpy(a.tpa, &sender, 4);
	bpf_skb_store_bytes(skb, L3, &a, sizeof a, 0);
	u8 dst[6];
	copy_mac(dst, port->mac);
	store_macs(skb, dst, m);
	return out(skb, skb->ifindex);
}

// to_service shows a guest to the node's services as the number of its port.
static __always_inline int to_service(struct __sk_buff *skb, struct port *port, struct packet *p)
{
	struct config *c = conf();
	u32 to = p->dst.w[3];
	int dns = p->dport == bpf_htons(53) && (p->proto == IPPROTO_UDP || p->proto == IPPROTO_TCP);
	int web = p->dport == bpf_htons(80) && p->proto == IPPROTO_TCP;
	if (!c || !c->service || p->fragment || !(to == METADATA ? web : dns) || (port->id & ~SERVICE_BITS))
		return count(skb, port->id, SERVICE);
	if (to != METADATA && to != RESOLVER) {
		if (!same_addr(&p->dst, &port->resolver))
			return count(skb, port->id, SERVICE);
		rewrite(skb, p, 1, VPC_RESOLVER);
	}
	if (!same_addr(&p->src, &port->private))
		return count(skb, port->id, SOURCE_ADDRESS);
	rewrite(skb, p, 0, bpf_htonl(SERVICE_NET | port->id));
	u8 mac[6];
	copy_mac(mac, c->service_mac);
	bpf_skb_store_bytes(skb, 0, mac, 6, 0);
	count(skb, port->id, SENT);
	return out(skb, c->service);
}

SEC("tc")
int from_guest(struct __sk_buff *skb)
{
	u32 ifindex = skb->ifindex;
	struct port *port = bpf_map_lookup_elem(&ports, &ifindex);
	if (!port)
		return count(skb, 0, UNKNOWN_PORT);
	struct ethhdr eth;
	if (bpf_skb_load_bytes(skb, 0, &eth, sizeof eth))
		return count(skb, port->id, MALFORMED);
	if (!same_mac(eth.h_source, port->mac))
		return count(skb, port->id, SOURCE_MAC);
	if (eth.h_proto == bpf_htons(ETH_P_ARP))
		return answer_arp(skb, port);
	if (eth.h_dest[0] & 1)
		return count(skb, port->id, BROADCAST);
	if (eth.h_proto != bpf_htons(ETH_P_IP))
		return count(skb, port->id, ETHERTYPE);
	struct packet p = {};
	int no = parse(skb, &p);
	if (no)
		return count(skb, port->id, no);
	u32 first = bpf_ntohl(p.dst.w[3]) >> 24, second = bpf_ntohl(p.dst.w[3]) >> 16;
	if (second == 0xa9fe || (same_addr(&p.dst, &port->resolver)))
		return to_service(skb, port, &p);
	if (first >= 224 || first == 127 || first == 0)
		return count(skb, port->id, BROADCAST);
	if (!(port->flags & NO_SOURCE_CHECK)) {
		struct owner *o = owner_of(port->vni, &p.src);
		if (!o || !same_mac(o->mac, port->mac))
			return count(skb, port->id, SOURCE_ADDRESS);
	}
	struct owner *peer = owner_of(port->vni, &p.dst);
	no = admit(port, &p, peer ? peer->groups : 0, EGRESS);
	if (no)
		return count(skb, port->id, no);
	struct config *c = conf();
	if (!c)
		return count(skb, port->id, ENCAP);
	struct mac_key to = { .vni = port->vni };
	copy_mac(to.mac, eth.h_dest);
	int routed = same_mac(eth.h_dest, port->router_mac);
	if (routed) { // by address
		struct prefix_key rk = { .bits = 160, .addr = p.dst };
		u32 *table = bpf_map_lookup_elem(&subnets, &port->subnet);
		if (!table)
			return count(skb, port->id, NO_ROUTE);
		rk.table = *table;
		struct route *r = bpf_map_lookup_elem(&routes, &rk);
		if (!r)
			return count(skb, port->id, NO_ROUTE);
		if (r->kind == ROUTE_BLACKHOLE)
			return count(skb, port->id, BLACKHOLE);
		if (r->kind == ROUTE_GATEWAY) {
			u32 *gw = bpf_map_lookup_elem(&networks, &port->vni);
			if (!gw || !*gw)
				return count(skb, port->id, NO_GATEWAY);
			gateway_mac(to.mac, port->vni);
			bpf_skb_store_bytes(skb, 0, to.mac, 6, 0);
			count(skb, port->id, SENT);
			return encap(skb, c, port->id, port->vni, *gw);
		}
		if (r->kind == ROUTE_INTERFACE) {
			copy_mac(to.mac, r->mac);
		} else {
			if (!peer)
				return count(skb, port->id, NO_MAPPING);
			copy_mac(to.mac, peer->mac);
		}
		bpf_skb_store_bytes(skb, 0, to.mac, 6, 0);
	}
	struct mapping *m = bpf_map_lookup_elem(&mappings, &to);
	if (!m || (!routed && m->subnet != port->subnet)) // the link is the subnet
		return count(skb, port->id, NO_MAPPING);
	u32 host = m->host;
	if (host != c->host) {
		count(skb, port->id, SENT);
		return encap(skb, c, port->id, port->vni, host);
	}
	u32 *index = bpf_map_lookup_elem(&local, &to);
	if (!index)
		return count(skb, port->id, NOT_HERE);
	count(skb, port->id, SENT);
	struct owner *me = owner_of(port->vni, &p.src);
	u32 *groups = me && same_mac(me->mac, port->mac) ? me->groups : 0;
	return deliver(skb, &p, *index, groups, m->subnet == port->subnet, eth.h_source);
}

SEC("tc")
int from_fabric(struct __sk_buff *skb)
{
	u32 vni, host;
	struct ethhdr eth;
	if (decap(skb, &vni, &host) || bpf_skb_load_bytes(skb, 0, &eth, sizeof eth))
		return count(skb, 0, MALFORMED);
	if (eth.h_proto != bpf_htons(ETH_P_IP))
		return count(skb, 0, ETHERTYPE);
	struct packet p = {};
	int no = parse(skb, &p);
	if (no)
		return count(skb, 0, no);
	struct mac_key from = { .vni = vni }, to = { .vni = vni };
	copy_mac(from.mac, eth.h_source);
	copy_mac(to.mac, eth.h_dest);
	u32 *index = bpf_map_lookup_elem(&local, &to);
	u32 subnet = 0;
	u32 *groups = 0;
	u8 gw[6];
	gateway_mac(gw, vni);
	if (same_mac(gw, from.mac)) {
		struct host_key hk = { vni, host };
		if (!bpf_map_lookup_elem(&gateways, &hk))
			return count(skb, 0, SENDER);
	} else { // does that interface live on the sending node, and has it that address?
		struct mapping *m = bpf_map_lookup_elem(&mappings, &from);
		if (!m || m->host != host)
			return count(skb, 0, SENDER);
		struct owner *o = owner_of(vni, &p.src);
		int own = o && same_mac(o->mac, from.mac);
		if (!own && !(m->flags & NO_SOURCE_CHECK))
			return count(skb, 0, SENDER_ADDRESS);
		if (own)
			groups = o->groups;
		subnet = m->subnet;
	}
	if (!index)
		return count(skb, 0, NOT_HERE);
	u32 ifindex = *index;
	struct port *t = bpf_map_lookup_elem(&ports, &ifindex);
	if (!t)
		return count(skb, 0, NOT_HERE);
	return deliver(skb, &p, ifindex, groups, subnet == t->subnet, eth.h_source);
}

SEC("tc")
int from_service(struct __sk_buff *skb)
{
	struct ethhdr eth;
	if (bpf_skb_load_bytes(skb, 0, &eth, sizeof eth))
		return count(skb, 0, MALFORMED);
	if (eth.h_proto != bpf_htons(ETH_P_IP))
		return count(skb, 0, ETHERTYPE);
	struct packet p = {};
	int no = parse(skb, &p);
	if (no)
		return count(skb, 0, no);
	u32 dst = bpf_ntohl(p.dst.w[3]);
	if ((dst & ~SERVICE_BITS) != SERVICE_NET)
		return count(skb, 0, SERVICE);
	u32 id = dst & SERVICE_BITS;
	u32 *index = bpf_map_lookup_elem(&port_ids, &id);
	if (!index)
		return count(skb, 0, NOT_HERE);
	u32 ifindex = *index;
	struct port *t = bpf_map_lookup_elem(&ports, &ifindex);
	if (!t || t->id != id)
		return count(skb, 0, NOT_HERE);
	u32 src = p.src.w[3];
	if (src == VPC_RESOLVER)
		rewrite(skb, &p, 0, t->resolver.w[3]);
	else if (src != METADATA && src != RESOLVER)
		return count(skb, id, SERVICE);
	rewrite(skb, &p, 1, t->private.w[3]);
	u8 mac[6], router[6];
	copy_mac(mac, t->mac);
	copy_mac(router, t->router_mac);
	store_macs(skb, mac, router);
	count(skb, id, DELIVERED);
	return out(skb, ifindex);
}

static __always_inline u16 fold(u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

// A router's word to the sender: too big for the next link, or too old.
struct complaint {
	struct ipv4 ip;
	u8 type, code;
	u16 check, zero, mtu;
	struct ipv4 about;
	u16 quote[10];
} __attribute__((packed));

// complain turns a packet from a guest into the ICMP error about it and sends
// that back: too big for mtu, or, when that is zero, too old. A packet whose checksum the kernel has yet to fill in keeps that
// promise for the quoted part. So the quoted transport header is made to sum to
// zero with and without that: the field that pays for it (the urgent pointer of
// TCP, the length of UDP) is of no use in a quote.
static __noinline int complain(struct __sk_buff *skb, struct packet *p, u32 vni, u32 host, u32 mtu)
{
	struct config *c = conf();
	if (!c || p->fragment == 2 || (p->proto == IPPROTO_ICMP && p->type != 8 && p->type != 0))
		return TC_ACT_SHOT;
	struct complaint m = {};
	u32 n = 8;
	if (p->proto == IPPROTO_TCP) {
		n = 20;
		if (bpf_skb_load_bytes(skb, L4, m.quote, 20))
			return TC_ACT_SHOT;
	} else if (bpf_skb_load_bytes(skb, L4, m.quote, 8)) {
		return TC_ACT_SHOT;
	}
	u8 mac[6], gw[6];
	if (bpf_skb_load_bytes(skb, L3, &m.about, 20) || bpf_skb_load_bytes(skb, 6, mac, 6) || bpf_skb_change_tail(skb, L4 + n, 0) ||
	    bpf_skb_change_head(skb, 28, 0))
		return TC_ACT_SHOT;
	if (p->proto == IPPROTO_TCP) {
		m.quote[8] = m.quote[9] = 0;
		m.quote[9] = ~fold(bpf_csum_diff(0, 0, (void *)m.quote, 20, 0));
	} else if (p->proto == IPPROTO_UDP) {
		m.quote[2] = m.quote[3] = 0;
		m.quote[2] = ~fold(bpf_csum_diff(0, 0, (void *)m.quote, 8, 0));
	}
	m.type = mtu ? 3 : 11; // fragmentation needed, or time exceeded
	m.code = mtu ? 4 : 0;
	m.mtu = bpf_htons(mtu);
	m.check = ~fold(bpf_csum_diff(0, 0, (void *)&m.type, 8 + 20 + 20, 0)); // what is not quoted is zero
	m.ip.vihl = 0x45;
	m.ip.len = bpf_htons(20 + 8 + 20 + n);
	m.ip.ttl = 64;
	m.ip.proto = IPPROTO_ICMP;
	m.ip.src = c->uplink_addr;
	m.ip.dst = p->src.w[3];
	m.ip.check = ~fold(bpf_csum_diff(0, 0, (void *)&m.ip, 20, 0));
	gateway_mac(gw, vni);
	store_macs(skb, mac, gw);
	u16 ether = bpf_htons(ETH_P_IP);
	bpf_skb_store_bytes(skb, 12, &ether, 2, 0);
	if (n == 20)
		bpf_skb_store_bytes(skb, L3, &m, 20 + 8 + 20 + 20, 0);
	else
		bpf_skb_store_bytes(skb, L3, &m, 20 + 8 + 20 + 8, 0);
	return encap(skb, c, 0, vni, host);
}

static __always_inline void older(struct __sk_buff *skb, struct packet *p)
{
	u16 was = bpf_htons(p->ttl << 8 | p->proto), is = bpf_htons((p->ttl - 1) << 8 | p->proto);
	u8 ttl = p->ttl - 1;
	bpf_l3_csum_replace(skb, L3 + 10, was, is, 2);
	bpf_skb_store_bytes(skb, L3 + 8, &ttl, 1, BPF_F_RECOMPUTE_CSUM);
}

// into sends a packet for a public address to the interface behind it.
static __noinline int into(struct __sk_buff *skb, struct packet *p, struct public *pub)
{
	struct config *c = conf();
	if (!c)
		return TC_ACT_SHOT;
	u8 mac[6], gw[6];
	u32 vni = pub->vni, host = pub->host;
	copy_mac(mac, pub->mac);
	gateway_mac(gw, vni);
	rewrite(skb, p, 1, pub->private.w[3]);
	older(skb, p);
	store_macs(skb, mac, gw);
	count(skb, 0, DELIVERED);
	return encap(skb, c, 0, vni, host);
}

SEC("tc")
int igw_fabric(struct __sk_buff *skb)
{
	u32 vni, host;
	struct ethhdr eth;
	struct config *c = conf();
	if (!c || decap(skb, &vni, &host) || bpf_skb_load_bytes(skb, 0, &eth, sizeof eth))
		return count(skb, 0, MALFORMED);
	if (eth.h_proto != bpf_htons(ETH_P_IP))
		return count(skb, 0, ETHERTYPE);
	u8 gw[6];
	gateway_mac(gw, vni);
	if (!same_mac(eth.h_dest, gw))
		return count(skb, 0, NOT_HERE);
	struct packet p = {};
	int no = parse(skb, &p);
	if (no)
		return count(skb, 0, no);
	struct addr_key k = { vni, p.src };
	struct outside *o = bpf_map_lookup_elem(&outsides, &k);
	if (!o)
		return count(skb, 0, NO_PUBLIC);
	if (o->host != host || !same_mac(o->mac, eth.h_source))
		return count(skb, 0, SENDER);
	u32 first = bpf_ntohl(p.dst.w[3]) >> 24;
	if (first >= 224 || first == 127 || first == 0)
		return count(skb, 0, BROADCAST);
	if (p.ttl <= 1) {
		count(skb, 0, TTL);
		return complain(skb, &p, vni, host, 0);
	}
	struct public *in = bpf_map_lookup_elem(&publics, &p.dst);
	if (!in) {
		u32 size = skb->gso_size ? skb->gso_size + 40 : p.len;
		if (c->uplink_mtu && size > c->uplink_mtu) {
			count(skb, 0, TOO_BIG);
			return complain(skb, &p, vni, host, c->uplink_mtu);
		}
	}
	rewrite(skb, &p, 0, o->public);
	if (in)
		return into(skb, &p, in);
	older(skb, &p);
	count(skb, 0, SENT);
	if (testing)
		skb->cb[0] = c->uplink;
	if (!c->next_hop)
		return bpf_redirect_neigh(c->uplink, 0, 0, 0);
	struct bpf_redir_neigh nh = { .nh_family = 2, .ipv4_nh = c->next_hop };
	return bpf_redirect_neigh(c->uplink, &nh, sizeof nh, 0);
}

// What the gateway does not announce or translate is for its own host.
SEC("tc")
int igw_uplink(struct __sk_buff *skb)
{
	struct ethhdr eth;
	struct config *c = conf();
	if (!c || bpf_skb_load_bytes(skb, 0, &eth, sizeof eth))
		return TC_ACT_OK;
	if (eth.h_proto == bpf_htons(ETH_P_ARP)) {
		struct arp a;
		if (bpf_skb_load_bytes(skb, L3, &a, sizeof a) || a.hw != bpf_htons(1) || a.proto != bpf_htons(ETH_P_IP) || a.hwlen != 6 ||
		    a.plen != 4 || a.op != bpf_htons(1))
			return TC_ACT_OK;
		u32 target;
		__builtin_memcpy(&target, a.tpa, 4);
		struct addr t = mapped(target);
		struct public *pub = bpf_map_lookup_elem(&publics, &t);
		if (!pub)
			return TC_ACT_OK;
		if (!pub->announce)
			return count(skb, 0, ARP);
		u8 asker[6], mine[6];
		copy_mac(asker, a.sha);
		copy_mac(mine, c->uplink_mac);
		a.op = bpf_htons(2);
		copy_mac(a.tha, asker);
		copy_mac(a.sha, mine);
		__builtin_memcpy(a.tpa, a.spa, 4);
		__builtin_memcpy(a.spa, &target, 4);
		bpf_skb_store_bytes(skb, L3, &a, sizeof a, 0);
		store_macs(skb, asker, mine);
		return out(skb, skb->ifindex);
	}
	if (eth.h_proto != bpf_htons(ETH_P_IP))
		return TC_ACT_OK;
	struct ipv4 ip;
	if (bpf_skb_load_bytes(skb, L3, &ip, sizeof ip))
		return TC_ACT_OK;
	struct addr dst = mapped(ip.dst);
	struct public *pub = bpf_map_lookup_elem(&publics, &dst);
	if (!pub)
		return TC_ACT_OK;
	if (eth.h_dest[0] & 1)
		return count(skb, 0, BROADCAST);
	struct packet p = {};
	int no = parse(skb, &p);
	if (no)
		return count(skb, 0, no);
	if (p.ttl <= 1)
		return count(skb, 0, TTL);
	return into(skb, &p, pub);
}
