# Asks Rhumb about a tool call. The default makes it fail closed: no answer, no permission.
package rhumb

import rego.v1

# RHUMB_URL in OPA's environment.
url := object.get(opa.runtime(), ["env", "RHUMB_URL"], "https://rhumb.internal:50052")

default decision := {"allow": false, "reason_code": "scorer_unavailable"}

decision := {
	"allow": resp.body.outcome == "PASS",
	"verdict": resp.body.verdict,
	"reason_code": object.get(resp.body, "reasonCode", ""),
	"decision_id": object.get(resp.body, "decisionId", ""),
} if {
	# One rule holds the call: within a query the same request is sent once.
	resp := http.send({
		"method": "POST",
		"url": concat("", [url, "/v1/score"]),
		"headers": {
			"content-type": "application/json",
			"txn-token": input.request.headers["txn-token"],
		},
		"body": {
			"requestId": input.request.id,
			"action": {
				"server": input.server,
				"tool": input.tool,
				"arguments": input.arguments,
				"effect": input.effect,
			},
			"policyId": "default",
			"enforcementPoint": "opa",
		},
		# A bare number would be nanoseconds.
		"timeout": "200ms",
		# An error is an answer with status_code 0 then, and not an undefined rule.
		"raise_error": false,
		"max_retry_attempts": 0,
		"tls_ca_cert_file": "rhumb-ca.pem",
	})
	resp.status_code == 200
}
