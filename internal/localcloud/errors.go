package localcloud

import (
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
)

// apiError is an answer of EC2 that says no. Codes and messages are the real
// service's ("Error codes for the Amazon EC2 API" in its reference), because
// clients branch on the code and people search for the message.
type apiError struct {
	Code    string
	Message string
}

func (e *apiError) Error() string { return e.Code + ": " + e.Message }

func errorf(code, format string, args ...any) error {
	return &apiError{Code: code, Message: fmt.Sprintf(format, args...)}
}

// status is the HTTP status that comes with the error: 400 for what the client
// did, 5xx for what it may try again.
func (e *apiError) status() int {
	switch e.Code {
	case "AuthFailure":
		return http.StatusUnauthorized
	case "MissingAuthenticationToken", "UnauthorizedOperation", "OptInRequired":
		return http.StatusForbidden
	case "DryRunOperation":
		return http.StatusPreconditionFailed
	case "InternalError", "InternalFailure":
		return http.StatusInternalServerError
	case "RequestLimitExceeded", "Unavailable", "ServiceUnavailable", "InsufficientCapacity":
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

// asAPIError makes any error one that can be answered: what is not the
// client's doing is an InternalError that says what went wrong here.
func asAPIError(err error) *apiError {
	if api, ok := errors.AsType[*apiError](err); ok {
		return api
	}
	return &apiError{Code: "InternalError", Message: "The local cloud could not do this: " + err.Error()}
}

// hasCode reports whether err is an API error of that code.
func hasCode(err error, code string) bool {
	api, ok := errors.AsType[*apiError](err)
	return ok && api.Code == code
}

type errorReply struct {
	XMLName xml.Name `xml:"Response"`
	Errors  struct {
		Error struct {
			Code    string
			Message string
		}
	}
	RequestID string
}

func (e *apiError) reply(requestID string) errorReply {
	reply := errorReply{RequestID: requestID}
	reply.Errors.Error.Code, reply.Errors.Error.Message = e.Code, e.Message
	return reply
}

// The two ways of getting an id wrong: one that cannot be, one that is not.

func errMalformedID(kind kind, id string) error {
	switch kind {
	case kindImage:
		return errorf("InvalidAMIID.Malformed", "Invalid id: %q (expecting \"ami-...\")", id)
	case kindInstance:
		return errorf("InvalidInstanceID.Malformed", "Invalid id: %q (expecting \"i-...\")", id)
	}
	return errorf("InvalidParameterValue", "Value (%s) for parameter %sId is invalid. Expected: '%s...'.", id, kind, kind.prefix())
}

func errNotFound(kind kind, id string) error {
	switch kind {
	case kindVolume:
		return errorf("InvalidVolume.NotFound", "The volume '%s' does not exist.", id)
	case kindSnapshot:
		return errorf("InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", id)
	case kindImage:
		return errorf("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", id)
	}
	return errorf("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", id)
}

func errInvalidValue(parameter, value, why string) error {
	return errorf("InvalidParameterValue", "Value (%s) for parameter %s is invalid. %s", value, parameter, why)
}

func errMissing(parameter string) error {
	return errorf("MissingParameter", "The request must contain the parameter %s", parameter)
}
