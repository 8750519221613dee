package api

func ofrepOperations() []Operation {
	const bulk = "/ofrep/v1/evaluate/flags"
	return []Operation{{
		ID: "evaluateFlags", Route: "POST " + bulk, Access: AccessReader,
		Summary: "Evaluate every flag (OFREP)",
		Params:  bulkParams{}, Body: FlagRequest{}, BodyOptional: true,
		Answer: FlagValues{}, Headers: tagged{}, NotModified: "Not changed since If-None-Match.",
		Error: FlagError{},
	}, {
		ID: "evaluateFlag", Route: "POST " + bulk + "/{key}", Access: AccessReader,
		Summary: "Evaluate one flag (OFREP)",
		Body:    FlagRequest{}, BodyOptional: true, Answer: FlagValue{}, Error: FlagError{},
	}, {
		ID: "flagStream", Route: "GET /ofrep/v1/sse", Access: AccessTicket,
		Summary: "Be told of changes (OFREP)",
		Description: "Server-sent events of type refetchEvaluation. The address is in eventStreams of " +
			"a bulk answer.",
		Params: streamParams{}, Answer: "", MediaType: "text/event-stream", Error: FlagError{},
	}}
}

type bulkParams struct {
	conditional
	// With the value that came with the event, when a stream said to fetch again; only whether it is
	// there counts.
	FlagConfigEtag string `query:"flagConfigEtag"`
	// With the value that came with the event; it is not read.
	FlagConfigLastModified string `query:"flagConfigLastModified"`
}

type streamParams struct {
	// As the address has it; valid for at most an hour, and secret.
	Token string `query:"token" required:"true"`
	// The last revision that the reader was told of.
	LastEventID int64 `header:"Last-Event-ID"`
}

// FlagRequest is an OFREP evaluation request.
type FlagRequest struct {
	// What targeting rules are evaluated with; targetingKey names who asks.
	Context map[string]any `json:"context,omitempty"`
}

// FlagValue is an OFREP evaluation.
type FlagValue struct {
	Key   string `json:"key"`
	Value any    `json:"value,omitempty"` // absent: the code's default
	// Reason is OFREP's word for why the flag has this value.
	Reason  string `json:"reason"`
	Variant string `json:"variant,omitempty"` // absent: the code's default
	// Metadata is what the set and the flag say, with revision, that of this flag's last change, and
	// flagSetRevision, that of the set.
	Metadata map[string]any `json:"metadata"`
}

// FlagValues is an OFREP bulk evaluation.
type FlagValues struct {
	Flags    []FlagAnswer   `json:"flags"`
	Metadata map[string]any `json:"metadata,omitempty"` // of the set
	// EventStreams are addresses at which to be told of changes; absent for people.
	EventStreams []EventStream `json:"eventStreams,omitempty"`
}

// FlagAnswer is one flag of a bulk evaluation: a FlagValue, or a FlagError.
type FlagAnswer struct {
	Key      string         `json:"key"`
	Value    any            `json:"value,omitempty"`    // absent: the code's default
	Reason   string         `json:"reason,omitempty"`   // absent with an error
	Variant  string         `json:"variant,omitempty"`  // absent: the code's default
	Metadata map[string]any `json:"metadata,omitempty"` // as in FlagValue

	ErrorCode    string `json:"errorCode,omitempty"`
	ErrorDetails string `json:"errorDetails,omitempty"`
}

// EventStream is where a reader is told of changes.
type EventStream struct {
	Type     string `json:"type" enum:"sse"`
	Endpoint struct {
		RequestURI string `json:"requestUri"`
	} `json:"endpoint"`
	// InactivityDelaySec is for how long a reader in the background keeps its stream open.
	InactivityDelaySec int `json:"inactivityDelaySec"`
}

// FlagError is an OFREP error.
type FlagError struct {
	Key          string `json:"key,omitempty"`
	ErrorCode    string `json:"errorCode"`
	ErrorDetails string `json:"errorDetails"`
}
