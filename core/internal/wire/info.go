package wire

import (
	"encoding/json"
)

// Info is the document of an INFO line. Fields that only servers use among
// themselves are not here; unknown ones are ignored.
type Info struct {
	ID            string   `json:"server_id"`
	Name          string   `json:"server_name"`
	Version       string   `json:"version"`
	Proto         int      `json:"proto"`
	Host          string   `json:"host"`
	Port          int      `json:"port"`
	Headers       bool     `json:"headers"`
	AuthRequired  bool     `json:"auth_required"`
	TLSRequired   bool     `json:"tls_required"`
	TLSVerify     bool     `json:"tls_verify"`
	TLSAvailable  bool     `json:"tls_available"`
	MaxPayload    int64    `json:"max_payload"`
	ClientID      uint64   `json:"client_id"`
	ClientIP      string   `json:"client_ip"`
	Nonce         string   `json:"nonce"`
	Cluster       string   `json:"cluster"`
	Domain        string   `json:"domain"`
	ConnectURLs   []string `json:"connect_urls"`
	WSConnectURLs []string `json:"ws_connect_urls"`
	LameDuck      bool     `json:"ldm"`
	JetStream     bool     `json:"jetstream"`
	APILevel      int      `json:"api_lvl"`
	SystemAccount bool     `json:"acc_is_sys"`
	RemoteAccount string   `json:"remote_account"`
}

// maxServerPayload is the largest max_payload that a server can be configured
// for; a larger one in INFO is a lie or a mistake.
const maxServerPayload = 1<<31 - 1

// ParseInfo reads the document of an INFO line. A missing max_payload is 0:
// unknown, not "nothing".
func ParseInfo(document []byte) (*Info, error) {
	info := new(Info)
	if err := json.Unmarshal(document, info); err != nil {
		return nil, &Error{"INFO is not the JSON document it should be"}
	}
	if info.MaxPayload < 0 || info.MaxPayload > maxServerPayload {
		return nil, &Error{"INFO has an impossible max_payload"}
	}
	return info, nil
}

// Merge makes the state after a further INFO on the same connection. What the
// server repeats replaces; what a later INFO may leave out is kept.
func (old *Info) Merge(info *Info) *Info {
	if old == nil {
		return info
	}
	m := *info
	keep := func(now *string, before string) {
		if *now == "" {
			*now = before
		}
	}
	keep(&m.ID, old.ID)
	keep(&m.Name, old.Name)
	keep(&m.Version, old.Version)
	keep(&m.Host, old.Host)
	keep(&m.ClientIP, old.ClientIP)
	keep(&m.Cluster, old.Cluster)
	keep(&m.Domain, old.Domain)
	if m.Port == 0 {
		m.Port = old.Port
	}
	if m.Proto == 0 {
		m.Proto = old.Proto
	}
	if m.MaxPayload == 0 {
		m.MaxPayload = old.MaxPayload
	}
	if m.ClientID == 0 {
		m.ClientID = old.ClientID
	}
	if m.APILevel == 0 {
		m.APILevel = old.APILevel
	}
	if m.RemoteAccount == "" {
		m.RemoteAccount = old.RemoteAccount
		m.SystemAccount = m.SystemAccount || old.SystemAccount
	}
	if m.ConnectURLs == nil {
		m.ConnectURLs = old.ConnectURLs
	}
	if m.WSConnectURLs == nil {
		m.WSConnectURLs = old.WSConnectURLs
	}
	return &m
}

// Connect is the document of a CONNECT line: an allow-list, so that nothing
// else of a client's configuration can ever reach the wire. The first five are
// always sent: a server takes missing ones for true.
type Connect struct {
	Verbose      bool   `json:"verbose"`
	Pedantic     bool   `json:"pedantic"`
	Echo         bool   `json:"echo"`
	Headers      bool   `json:"headers"`
	NoResponders bool   `json:"no_responders"`
	TLSRequired  bool   `json:"tls_required"`
	Protocol     int    `json:"protocol"`
	Lang         string `json:"lang"`
	Version      string `json:"version"`
	Name         string `json:"name,omitempty"`
	User         string `json:"user,omitempty"`
	Password     string `json:"pass,omitempty"`
	Token        string `json:"auth_token,omitempty"`
	JWT          string `json:"jwt,omitempty"`
	Nkey         string `json:"nkey,omitempty"`
	Signature    string `json:"sig,omitempty"`
}

// Document renders c.
func (c *Connect) Document() ([]byte, error) { return json.Marshal(c) }
