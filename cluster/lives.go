package cluster

// life names one start of a replica: its number, and a nonce that tells it from the start of a copy
// that counts the same number.
type life struct {
	Start uint64 `json:"start"`
	Nonce uint32 `json:"nonce"`
}
