package reply

import (
	"net/http"
	"strings"
)

// Service is one of the APIs that share the address, by the name that
// stands in a signature's credential scope.
type Service string

// The services.
const (
	EC2 Service = "ec2"
	STS Service = "sts"

	CloudTrail Service = "cloudtrail"
)

// Media types of replies.
const (
	XML  = "text/xml;charset=UTF-8"
	JSON = "application/x-amz-json-1.1"
)

// ContentType is the media type of a service's replies.
func ContentType(s Service) string {
	if s == CloudTrail {
		return JSON
	}
	return XML
}

const (
	prolog       = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"
	stsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"
)

// Result appends the document that answers an action. The version is the one
// the request asked for; EC2's namespace follows it.
func Result(b []byte, s Service, action, version, requestID string, body Body) []byte {
	b = append(b, prolog...)
	b = append(b, '<')
	b = append(b, action...)
	b = append(b, `Response xmlns="`...)
	if s == STS {
		b = append(b, stsNamespace...)
		b = append(b, `"><`...)
		b = append(b, action...)
		b = append(b, `Result>`...)
		b = body.AppendXML(b)
		b = append(b, `</`...)
		b = append(b, action...)
		b = append(b, `Result><ResponseMetadata>`...)
		b = String(b, "RequestId", &requestID)
		b = append(b, `</ResponseMetadata>`...)
	} else {
		b = append(b, `http://ec2.amazonaws.com/doc/`...)
		b = Text(b, version)
		b = append(b, `/">`...)
		b = String(b, "requestId", &requestID)
		b = body.AppendXML(b)
	}
	b = append(b, `</`...)
	b = append(b, action...)
	return append(b, `Response>`...)
}

// Fault appends the document that answers with an error.
func Fault(b []byte, s Service, code, message, requestID string) []byte {
	if s == CloudTrail {
		return exception(b, code, message)
	}
	b = append(b, prolog...)
	if s == STS {
		kind := "Sender"
		if Status(s, code) >= 500 {
			kind = "Receiver"
		}
		b = append(b, `<ErrorResponse xmlns="`+stsNamespace+`"><Error>`...)
		b = String(b, "Type", &kind)
		b = String(b, "Code", &code)
		b = String(b, "Message", &message)
		b = append(b, `</Error>`...)
		b = String(b, "RequestId", &requestID)
		return append(b, `</ErrorResponse>`...)
	}
	b = append(b, `<Response><Errors><Error>`...)
	b = String(b, "Code", &code)
	b = String(b, "Message", &message)
	b = append(b, `</Error></Errors>`...)
	b = String(b, "RequestID", &requestID)
	return append(b, `</Response>`...)
}

// Status is the HTTP status that goes with an error code ("Error codes for the
// Amazon EC2 API": the server codes answer with the 500 series).
func Status(s Service, code string) int {
	if s == CloudTrail {
		return exceptionStatus(code)
	}
	switch code {
	case "AuthFailure", "OptInRequired", "PendingVerification":
		return http.StatusUnauthorized
	case "UnauthorizedOperation", "Blocked", "AccessDenied",
		"MissingAuthenticationToken", "InvalidClientTokenId", "SignatureDoesNotMatch":
		return http.StatusForbidden
	case "DryRunOperation":
		return http.StatusPreconditionFailed
	case "InternalError", "InternalFailure", "ServerInternal":
		return http.StatusInternalServerError
	case "Unavailable", "ServiceUnavailable", "RequestLimitExceeded":
		return http.StatusServiceUnavailable
	}
	if strings.HasPrefix(code, "Insufficient") && strings.HasSuffix(code, "Capacity") {
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}
