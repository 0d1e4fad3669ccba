package daemon

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/raftlookupd/raftlookupd/cluster"
	"github.com/raftlookupd/raftlookupd/httpapi"
)

// backupsAPI is the replica as httpapi wants it to save and restore the registry.
type backupsAPI struct{ *cluster.Replica }

// Backup implements httpapi.Backups.
func (b backupsAPI) Backup(ctx context.Context) (index uint64, write func(io.Writer) error, err error) {
	index, write, err = b.Replica.Backup(ctx)
	return index, write, asBackupRefusal(err)
}

// RestoreBackup implements httpapi.Backups.
func (b backupsAPI) RestoreBackup(ctx context.Context, body io.Reader, foreign bool) (httpapi.Restored, error) {
	done, err := b.Replica.RestoreBackup(ctx, body, foreign)
	return httpapi.Restored(done), asBackupRefusal(err)
}

// backupRefusal is an error of a backup that has a word for clients, as HTTP answers it.
type backupRefusal struct {
	error
	code    int
	message string
}

func asBackupRefusal(err error) error {
	var known *cluster.Error
	if !errors.As(err, &known) {
		return err
	}
	code := http.StatusServiceUnavailable
	switch known {
	case cluster.ErrBadBackup:
		code = http.StatusBadRequest
	case cluster.ErrForeignBackup, cluster.ErrRestoring:
		code = http.StatusConflict
	}
	return backupRefusal{err, code, known.Message()}
}

// Unwrap returns the error.
func (r backupRefusal) Unwrap() error { return r.error }

// Answer is what httpapi looks for.
func (r backupRefusal) Answer() (code int, message, reason string) {
	return r.code, r.message, r.Error()
}
