package iscsi

import (
	"bufio"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// What we take and offer (RFC 7143, 13).
const (
	ourSegment  = 256 << 10 // MaxRecvDataSegmentLength
	ourBurst    = 1 << 20   // MaxBurstLength
	ourFirst    = 256 << 10 // FirstBurstLength: a write that is no longer comes in one PDU
	defSegment  = 8192      // of an initiator that says nothing
	loginMax    = 8192      // data of one login PDU
	loginText   = 64 << 10  // of all that belong together
	loginRounds = 16
)

// Login statuses (RFC 7143, 11.13.5).
const (
	loginOK          = 0x0000
	loginBad         = 0x0200
	loginForbidden   = 0x0202
	loginNotFound    = 0x0203
	loginVersion     = 0x0205
	loginMissing     = 0x0207
	loginType        = 0x0209
	loginNoSession   = 0x020a
	loginUnavailable = 0x0301
)

var errLogin = errors.New("iscsi: login refused")

// params is what was agreed.
type params struct {
	discovery bool
	segment   int // the initiator's MaxRecvDataSegmentLength
	burst     int
	first     int
	immediate bool
	isid      [6]byte
	expCmd    uint32 // CmdSN of the first command
	statSN    uint32 // of the first answer after login
}

// login carries a session from its first PDU to the full feature phase. Who
// comes is known from the preamble; the names must be the attachment's.
func login(r *bufio.Reader, send func(*header, []byte) error, target, initiator string) (params, error) {
	p := params{segment: defSegment, burst: 262144, first: 65536, immediate: true}
	var text []byte
	stage, named, itt := -1, false, uint32(0)
	statSN := uint32(0)
	answer := func(h *header, status int, next byte, transit bool, body string) error {
		var o header
		o[0] = opLoggedIn
		o[1] = h[1] & 0x0c // stage
		if transit {
			o[1] |= 0x80 | next
		}
		copy(o[8:14], h[8:14])
		if status == loginOK && transit && next == 3 {
			be.PutUint16(o[14:], 1) // TSIH: there is one session
		}
		copy(o[16:20], h[16:20])
		be.PutUint32(o[24:], statSN)
		be.PutUint32(o[28:], h.cmdSN())
		be.PutUint32(o[32:], h.cmdSN()+queueDepth-1)
		be.PutUint16(o[36:], uint16(status))
		statSN++
		return send(&o, []byte(body))
	}
	refuse := func(h *header, status int, why string) (params, error) {
		err := answer(h, status, 0, false, "")
		return p, errors.Join(fmt.Errorf("%w: %s", errLogin, why), err)
	}
	for range loginRounds {
		var h header
		if err := readHeader(r, &h, loginMax); err != nil {
			return p, err
		}
		data := make([]byte, h.length())
		if err := readData(r, data); err != nil {
			return p, err
		}
		if h.op() != opLogin {
			return p, fmt.Errorf("%w: operation %#x before it", errLogin, h.op())
		}
		csg, nsg, transit, goesOn := int(h[1]>>2&3), h[1]&3, h[1]&0x80 != 0, h[1]&0x40 != 0
		if stage == -1 {
			stage, itt = csg, h.itt()
			copy(p.isid[:], h[8:14])
			p.expCmd = h.cmdSN()
			statSN = be.Uint32(h[28:])
		}
		switch {
		case h[3] > 0: // the lowest version that the initiator speaks
			return refuse(&h, loginVersion, "version")
		case be.Uint16(h[14:]) != 0:
			return refuse(&h, loginNoSession, "there is no session to join")
		case csg != stage || csg > 1 || h.itt() != itt:
			return refuse(&h, loginBad, "out of order")
		case goesOn && transit:
			return refuse(&h, loginBad, "more text and another stage at once")
		case transit && (nsg == 2 || int(nsg) <= csg):
			return refuse(&h, loginBad, "a stage that does not follow")
		}
		if text = append(text, data...); len(text) > loginText {
			return refuse(&h, loginBad, "too much text")
		}
		if goesOn {
			if err := answer(&h, loginOK, 0, false, ""); err != nil {
				return p, err
			}
			continue
		}
		kv, order, err := parseKeys(text)
		text = nil
		if err != nil {
			return refuse(&h, loginBad, err.Error())
		}
		if !named {
			named = true
			switch kv["SessionType"] {
			case "", "Normal":
			case "Discovery":
				p.discovery = true
			default:
				return refuse(&h, loginType, "session type "+kv["SessionType"])
			}
			if kv["InitiatorName"] == "" || !p.discovery && kv["TargetName"] == "" {
				return refuse(&h, loginMissing, "a name is missing")
			}
			if kv["InitiatorName"] != initiator {
				return refuse(&h, loginForbidden, "initiator "+strconv.Quote(kv["InitiatorName"]))
			}
			if t := kv["TargetName"]; t != "" && t != target {
				return refuse(&h, loginNotFound, "target "+strconv.Quote(t))
			}
		}
		body, err := p.negotiate(csg, kv, order)
		if err != nil {
			return refuse(&h, loginBad, err.Error())
		}
		if csg == 0 && !transit {
			body += "AuthMethod=None\x00"
		}
		if err := answer(&h, loginOK, nsg, transit, body); err != nil {
			return p, err
		}
		if transit {
			if stage = int(nsg); stage == 3 {
				p.statSN = statSN
				return p, nil
			}
		}
	}
	return p, fmt.Errorf("%w: it does not end", errLogin)
}

// negotiate answers the keys of one request.
func (p *params) negotiate(stage int, kv map[string]string, order []string) (string, error) {
	var b strings.Builder
	say := func(k, v string) { b.WriteString(k + "=" + v + "\x00") }
	number := func(k string, lo, hi int) (int, error) {
		n, err := strconv.ParseUint(kv[k], 0, 32)
		if err != nil || n < uint64(lo) || n > uint64(hi) {
			return 0, fmt.Errorf("%s=%q", k, kv[k])
		}
		return int(n), nil
	}
	for _, k := range order {
		v := kv[k]
		switch k {
		case "InitiatorName", "InitiatorAlias", "TargetName", "SessionType", "TargetPortalGroupTag":
		case "AuthMethod":
			if !has(v, "None") {
				return "", errors.New("AuthMethod=" + v)
			}
			say(k, "None")
		case "HeaderDigest", "DataDigest":
			if !has(v, "None") {
				return "", errors.New(k + "=" + v)
			}
			say(k, "None")
		case "MaxRecvDataSegmentLength":
			n, err := number(k, 512, 1<<24-1)
			if err != nil {
				return "", err
			}
			p.segment = min(n, ourSegment)
			say(k, strconv.Itoa(ourSegment))
		case "MaxBurstLength":
			n, err := number(k, 512, 1<<24-1)
			if err != nil {
				return "", err
			}
			p.burst = min(n, ourBurst)
			say(k, strconv.Itoa(p.burst))
		case "FirstBurstLength":
			n, err := number(k, 512, 1<<24-1)
			if err != nil {
				return "", err
			}
			p.first = min(n, ourFirst)
			say(k, strconv.Itoa(p.first))
		case "InitialR2T":
			say(k, "Yes")
		case "ImmediateData":
			p.immediate = v == "Yes"
			say(k, v)
			if v != "Yes" && v != "No" {
				return "", errors.New(k + "=" + v)
			}
		case "MaxConnections", "MaxOutstandingR2T":
			if _, err := number(k, 1, 65535); err != nil {
				return "", err
			}
			say(k, "1")
		case "DefaultTime2Wait", "DefaultTime2Retain", "ErrorRecoveryLevel":
			if _, err := number(k, 0, 3600); err != nil {
				return "", err
			}
			if k == "DefaultTime2Wait" { // the greater of both; ours is 0
				say(k, v)
			} else {
				say(k, "0")
			}
		case "DataPDUInOrder", "DataSequenceInOrder":
			say(k, "Yes")
		case "OFMarker", "IFMarker":
			say(k, "No")
		case "OFMarkInt", "IFMarkInt":
			say(k, "Irrelevant")
		default:
			say(k, "NotUnderstood")
		}
	}
	p.first = min(p.first, p.burst)
	if stage == 0 && kv["TargetName"] != "" {
		say("TargetPortalGroupTag", "1")
	}
	return b.String(), nil
}

func has(list, want string) bool {
	for v := range strings.SplitSeq(list, ",") {
		if v == want {
			return true
		}
	}
	return false
}
