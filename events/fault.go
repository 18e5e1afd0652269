package events

import (
	"errors"
	"fmt"
)

// Fault answers a caller: an EC2 error code ("Error codes for the Amazon EC2
// API") and a sentence for a human. Nothing broke; the answer is no.
type Fault struct {
	FaultCode string `json:"code"`
	Message   string `json:"message"`
}

// Code is the EC2 error code.
func (f *Fault) Code() string { return f.FaultCode }

// Error is the sentence.
func (f *Fault) Error() string { return f.FaultCode + ": " + f.Message }

// Faultf makes a fault.
func Faultf(code, format string, args ...any) *Fault {
	return &Fault{FaultCode: code, Message: fmt.Sprintf(format, args...)}
}

// AsFault finds a fault in an error's chain.
func AsFault(err error) (*Fault, bool) {
	var f *Fault
	ok := errors.As(err, &f)
	return f, ok
}
