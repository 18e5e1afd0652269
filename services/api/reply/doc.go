// Package reply writes what the EC2 and STS query protocols answer: an XML
// document for a result, another for a fault, and the HTTP status that goes
// with it.
//
//	EC2   <XResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
//	        <requestId>…</requestId> members
//	      </XResponse>
//	      <Response><Errors><Error><Code/><Message/></Error></Errors><RequestID/></Response>
//
//	STS   <XResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
//	        <XResult> members </XResult>
//	        <ResponseMetadata><RequestId/></ResponseMetadata>
//	      </XResponse>
//	      <ErrorResponse xmlns="…"><Error><Type/><Code/><Message/></Error><RequestId/></ErrorResponse>
//
// CloudTrail speaks the JSON protocol: its results are JSON objects made where
// they are answered, its faults are
//
//	{"__type":"InvalidNextTokenException","message":"…"}
//
// Everything else appends to a byte slice, without reflection: the shapes of package
// model have generated AppendXML methods made of the functions here. A nil
// pointer or nil list writes nothing; an empty list writes an empty element.
// Text is escaped, and a character that XML cannot carry becomes U+FFFD, so the
// output is well formed whatever the input.
package reply
