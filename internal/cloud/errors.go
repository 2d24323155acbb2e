package cloud

import (
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
)

// What errors of this package can be matched with. AWS has several codes for
// most of them.
var (
	// ErrNotFound: the image, snapshot, volume or instance does not exist, or
	// is not yet visible everywhere.
	ErrNotFound = errors.New("not found")

	// ErrInUse: the resource cannot be removed or attached because another one
	// uses it.
	ErrInUse = errors.New("in use")

	// ErrDuplicateName: an image of that name exists in the region.
	ErrDuplicateName = errors.New("image name is taken")

	// ErrDeviceInUse: the instance has something attached under that name.
	ErrDeviceInUse = errors.New("device name is in use")

	// ErrWrongState: the resource is not in a state that allows the call.
	ErrWrongState = errors.New("wrong state")

	// ErrAccessDenied: the credentials are missing, invalid, or not allowed to.
	ErrAccessDenied = errors.New("access denied")

	// ErrProtected: the image is protected from deregistration.
	ErrProtected = errors.New("protected from deregistration")

	// ErrNoInstance: this host is not an EC2 instance, or hides that it is.
	ErrNoInstance = errors.New("no instance metadata")

	// ErrFailed: what was waited for ended in an error state.
	ErrFailed = errors.New("ended in error")
)

// codes maps EC2's error codes (the "Error codes for the Amazon EC2 API" of its
// API reference) to sentinels, once for the whole suite.
var codes = map[string]error{
	"InvalidAMIID.NotFound":                ErrNotFound,
	"InvalidAMIID.Unavailable":             ErrNotFound,
	"InvalidAMIID.Malformed":               ErrNotFound,
	"InvalidSnapshot.NotFound":             ErrNotFound,
	"InvalidSnapshotID.Malformed":          ErrNotFound,
	"InvalidVolume.NotFound":               ErrNotFound,
	"InvalidVolumeID.Malformed":            ErrNotFound,
	"InvalidInstanceID.NotFound":           ErrNotFound,
	"InvalidAttachment.NotFound":           ErrNotFound,
	"InvalidAMIName.Duplicate":             ErrDuplicateName,
	"InvalidSnapshot.InUse":                ErrInUse,
	"VolumeInUse":                          ErrInUse,
	"InvalidDevice.InUse":                  ErrDeviceInUse,
	"IncorrectState":                       ErrWrongState,
	"IncorrectInstanceState":               ErrWrongState,
	"InvalidVolume.ZoneMismatch":           ErrWrongState,
	"UnauthorizedOperation":                ErrAccessDenied,
	"AuthFailure":                          ErrAccessDenied,
	"AccessDenied":                         ErrAccessDenied,
	"AccessDeniedException":                ErrAccessDenied,
	"OptInRequired":                        ErrAccessDenied,
	"RequestExpired":                       ErrAccessDenied,
	"ExpiredToken":                         ErrAccessDenied,
	"InvalidClientTokenId":                 ErrAccessDenied,
	"OperationNotPermitted":                ErrProtected,
	"InvalidAMIID.DeregistrationProtected": ErrProtected,
}

// An APIError is a call that AWS refused or that never got an answer.
type APIError struct {
	Op       string // the call: RegisterImage
	Resource string // what it was about, when one resource can be named
	Code     string // AWS's code; empty when there was no answer
	Message  string // AWS's words
	Err      error
}

func (e *APIError) Error() string {
	what := e.Op
	if e.Resource != "" {
		what += " " + e.Resource
	}
	if e.Code == "" {
		return fmt.Sprintf("%s: %v", what, e.Err)
	}
	return fmt.Sprintf("%s: %s: %s", what, e.Code, e.Message)
}

func (e *APIError) Unwrap() []error {
	if sentinel, ok := codes[e.Code]; ok {
		return []error{sentinel, e.Err}
	}
	return []error{e.Err}
}

// apiError puts err, of the call op about resource, into the words of this
// package. It returns nil for nil.
func apiError(op, resource string, err error) error {
	if err == nil {
		return nil
	}
	// The SDK joins what it was told when it asked whether to repeat a call, which
	// has the call's error in it.
	if given, up := errors.AsType[*retry.MaxAttemptsError](err); up {
		err = given
	}
	wrapped := &APIError{Op: op, Resource: resource, Err: err}
	if api, answered := errors.AsType[smithy.APIError](err); answered {
		wrapped.Code, wrapped.Message = api.ErrorCode(), api.ErrorMessage()
	}
	return wrapped
}

// unanswered reports whether the call behind err may have been carried out all
// the same: it got no answer, or one that says nothing about its effect.
func unanswered(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return true
	}
	return slices.Contains([]string{"InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable", "RequestTimeout"}, api.ErrorCode())
}
