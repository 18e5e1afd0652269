package reply

import (
	"encoding/json"
	"net/http"
)

// exceptions are the names that the JSON protocol has for the door's own codes
// ("Common Errors" in the AWS CloudTrail API Reference). Others stay as they are.
var exceptions = map[string]string{
	"AuthFailure":                "UnrecognizedClientException",
	"InvalidClientTokenId":       "UnrecognizedClientException",
	"SignatureDoesNotMatch":      "InvalidSignatureException",
	"RequestExpired":             "InvalidSignatureException",
	"IncompleteSignature":        "IncompleteSignatureException",
	"MissingAuthenticationToken": "MissingAuthenticationTokenException",
	"UnauthorizedOperation":      "AccessDeniedException",
	"InvalidAction":              "UnknownOperationException",
	"InvalidRequest":             "SerializationException",
	"RequestLimitExceeded":       "ThrottlingException",
	"InternalError":              "InternalFailure",
	"Unavailable":                "ServiceUnavailable",
}

// exception appends an error of the JSON protocol (AWS JSON 1.1, "Operation
// error serialization" in the Smithy documentation).
func exception(b []byte, code, message string) []byte {
	if name := exceptions[code]; name != "" {
		code = name
	}
	text, err := json.Marshal(struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}{code, message})
	if err != nil {
		panic(err) // two strings can always be told
	}
	return append(b, text...)
}

func exceptionStatus(code string) int {
	switch code {
	case "InternalError", "InternalFailure":
		return http.StatusInternalServerError
	case "Unavailable", "ServiceUnavailable":
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}
