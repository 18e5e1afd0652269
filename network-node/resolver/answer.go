package resolver

import (
	"net"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// canonical is a name in lower case and without its last dot; "" for the root.
func canonical(name string) string { return strings.TrimSuffix(strings.ToLower(name), ".") }

// odd answers what is no plain question: another operation, another class, a
// transfer, an unknown version of EDNS. nil for what is one.
func odd(r *dns.Msg) *dns.Msg {
	switch {
	case r.Opcode != dns.OpcodeQuery:
		return fail(r, dns.RcodeNotImplemented)
	case len(r.Question) != 1:
		return fail(r, dns.RcodeFormatError)
	}
	if o := r.IsEdns0(); o != nil && o.Version() != 0 {
		return fail(r, dns.RcodeBadVers)
	}
	switch q := r.Question[0]; {
	case q.Qclass != dns.ClassINET, q.Qtype == dns.TypeAXFR, q.Qtype == dns.TypeIXFR, q.Qtype == dns.TypeOPT, q.Qtype == dns.TypeTSIG:
		return fail(r, dns.RcodeRefused)
	}
	return nil
}

func fail(r *dns.Msg, code int) *dns.Msg {
	m := new(dns.Msg)
	m.SetRcode(r, code)
	m.RecursionAvailable = code != dns.RcodeRefused
	return m
}

func header(name string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: dns.Fqdn(name), Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
}

// host answers for a name that has one address and nothing else: for other types
// the answer is empty, and the zone's SOA says for how long.
func host(r *dns.Msg, domain string, a netip.Addr) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(r)
	m.RecursionAvailable = true
	if t := r.Question[0].Qtype; t == dns.TypeA || t == dns.TypeANY {
		m.Answer = []dns.RR{&dns.A{Hdr: header(r.Question[0].Name, dns.TypeA), A: net.IP(a.AsSlice())}}
	} else {
		m.Ns = []dns.RR{soa(domain)}
	}
	return m
}

func pointer(r *dns.Msg, to string) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(r)
	m.RecursionAvailable = true
	if t := r.Question[0].Qtype; t == dns.TypePTR || t == dns.TypeANY {
		m.Answer = []dns.RR{&dns.PTR{Hdr: header(r.Question[0].Name, dns.TypePTR), Ptr: dns.Fqdn(to)}}
	}
	return m
}

// apex answers for a domain itself (label "") and for names below it that do not
// exist. Its name server is ns, which is whoever is asked.
func apex(r *dns.Msg, label, domain string, self netip.Addr) *dns.Msg {
	if label == "ns" && self.Is4() {
		return host(r, domain, self)
	}
	if label != "" {
		m := fail(r, dns.RcodeNameError)
		m.Ns = []dns.RR{soa(domain)}
		return m
	}
	m := new(dns.Msg)
	m.SetReply(r)
	m.RecursionAvailable = true
	switch r.Question[0].Qtype {
	case dns.TypeSOA:
		m.Answer = []dns.RR{soa(domain)}
	case dns.TypeNS:
		m.Answer = []dns.RR{&dns.NS{Hdr: header(domain, dns.TypeNS), Ns: dns.Fqdn("ns." + domain)}}
	default:
		m.Ns = []dns.RR{soa(domain)}
	}
	return m
}

// soa is the same at every server: there is nothing to transfer, and the last
// field bounds how long a name that is not there is remembered (RFC 2308).
func soa(domain string) dns.RR {
	return &dns.SOA{Hdr: header(domain, dns.TypeSOA), Ns: dns.Fqdn("ns." + domain), Mbox: dns.Fqdn("hostmaster." + domain),
		Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: 5}
}

// write sends an answer in the size that the client can take.
func write(w dns.ResponseWriter, r, m *dns.Msg) {
	size := dns.MinMsgSize
	if o := r.IsEdns0(); o != nil {
		if m.IsEdns0() == nil {
			m.SetEdns0(1232, o.Do())
		}
		size = max(dns.MinMsgSize, min(int(o.UDPSize()), 1232))
	}
	if _, ok := w.RemoteAddr().(*net.TCPAddr); ok {
		size = dns.MaxMsgSize
	}
	m.Truncate(size)
	m.Compress = true
	w.WriteMsg(m) // whoever is not answered asks again
}
