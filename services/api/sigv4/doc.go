// Package sigv4 verifies AWS Signature Version 4 ("Create a signed AWS API
// request" in the IAM user guide), in the Authorization header or in the query
// of a presigned URL.
//
//	request ─▶ Open: who, when, for what ─▶ read the body ─▶ Verify ─▶ Identity
//	            no body is read for a
//	            key that is not known
//
//	canonical request   METHOD \n path \n query \n name:value\n… \n names \n hash(body)
//	string to sign      AWS4-HMAC-SHA256 \n date \n date/region/service/aws4_request \n hash(canonical)
//	signature           HMAC chain: AWS4+secret, date, region, service, aws4_request, string
//
// It denies by default. The date must be within 15 minutes, the scope must name
// this region and one of its services, host and date must be signed, every
// x-amz- header must be signed, exactly the headers named in SignedHeaders
// count, and the hash is taken of the body that arrived: STREAMING- and
// UNSIGNED- payloads are refused, as are Signature Version 2, session tokens,
// two authentications in one request and repeated security headers. The
// signature is compared in constant time. An unknown access key and a wrong
// signature read the same to an EC2 caller.
package sigv4
