//go:build ibmmq && cgo

package ibmmq

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ibm-messaging/mq-golang/v5/ibmmq"

	"zatoha/connectorhost/connector"
)

// Available says whether this program can connect to IBM MQ.
const Available = true

// Bounds of calls into IBM's library.
const (
	connectTime = 15 * time.Second
	callTime    = 10 * time.Second
	byeTime     = 2 * time.Second
)

// maxApplication is how long the name of an application may be, in bytes.
const maxApplication = 28

// session is one connection (HCONN) with its unit of work and its handles. Its calls are made one after the other.
//
// No call into IBM's library can be cancelled. One that takes too long is left alone, and the session with it: whoever
// waited for it gets an error, and when the call comes back after all, the unit of work is backed out and the connection
// ended by the goroutine that made it.
type session struct {
	manager    ibmmq.MQQueueManager
	properties ibmmq.MQMessageHandle // of the message in hand
	input      ibmmq.MQObject
	opened     bool           // input is open
	output     ibmmq.MQObject // the backout queue, or where messages are sent
	pulse      ibmmq.MQObject // the queue manager itself
	beats      bool           // pulse is open
	buffer     []byte         // for MQGET

	turn      chan struct{} // full while a call is made
	gone      atomic.Bool   // no more calls but the last ones
	connected bool
	once      sync.Once
}

// connect makes a session.
func connect(ctx context.Context, s *Settings, env connector.Environment) (*session, error) {
	options, err := s.connectOptions(env.Name)
	if err != nil {
		return nil, err
	}
	one := &session{turn: make(chan struct{}, 1)}
	doing := fmt.Sprintf("connect to queue manager %q at %s by channel %s", s.QueueManager, s.connectionName(), s.Channel)
	err = one.call(ctx, connectTime, doing, func() error {
		manager, err := ibmmq.Connx(s.QueueManager, options)
		if err != nil {
			return err
		}
		one.manager, one.connected = manager, true
		one.properties, err = one.manager.CrtMH(ibmmq.NewMQCMHO())
		return err
	})
	if err != nil {
		_ = one.close(ctx) // a call that hangs does it when it comes back
		return nil, err
	}
	return one, nil
}

// connectOptions are how to connect. The secrets are looked up now.
func (s *Settings) connectOptions(name string) (*ibmmq.MQCNO, error) {
	password, err := s.Password.Reveal()
	if err != nil {
		return nil, fmt.Errorf("password: %w: %w", connector.ErrRefused, err)
	}
	repositoryPassword, err := s.KeyRepositoryPassword.Reveal()
	if err != nil {
		return nil, fmt.Errorf("key_repository_password: %w: %w", connector.ErrRefused, err)
	}
	cd := ibmmq.NewMQCD()
	cd.ChannelName, cd.ConnectionName, cd.MaxMsgLength = s.Channel, s.connectionName(), mostMaxBytes
	cd.SharingConversations = 1 // a socket for each session: none waits for another
	options := ibmmq.NewMQCNO()
	options.ClientConn = cd
	options.Options = ibmmq.MQCNO_HANDLE_SHARE_BLOCK | ibmmq.MQCNO_RECONNECT_DISABLED
	options.ApplName = fmt.Sprintf("%.*s", maxApplication, "zatoha "+name)
	if s.CipherSpec != "" {
		cd.SSLCipherSpec, cd.SSLPeerName, cd.CertificateLabel = s.CipherSpec, s.PeerName, s.CertificateLabel
		tls := ibmmq.NewMQSCO()
		tls.KeyRepository, tls.KeyRepoPassword, tls.CertificateLabel = s.KeyRepository, repositoryPassword, s.CertificateLabel
		options.SSLConfig = tls
	}
	if s.User != "" {
		user := ibmmq.NewMQCSP()
		user.AuthenticationType, user.UserId, user.Password = ibmmq.MQCSP_AUTH_USER_ID_AND_PWD, s.User, password
		options.SecurityParms = user
	}
	return options, nil
}

var errHungUp = fmt.Errorf("%w: the connection was closed", connector.ErrNotConnected)

// call makes a call into the library, or several of which none may come between. What it sets must not be looked at after
// an error.
func (s *session) call(ctx context.Context, bound time.Duration, doing string, make func() error) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return s.hung(doing, ctx)
	}
	if s.gone.Load() {
		<-s.turn
		return fmt.Errorf("%s: %w", doing, errHungUp)
	}
	done := newResult()
	go func() {
		done <- make()
		if s.gone.Load() {
			s.hangUp()
		}
		<-s.turn
	}()
	select {
	case err := <-done:
		return classified(doing, err)
	case <-ctx.Done():
		return s.hung(doing, ctx)
	}
}

func newResult() chan error { return make(chan error, 1) }

// hung gives the session up.
func (s *session) hung(doing string, ctx context.Context) error {
	s.gone.Store(true)
	return fmt.Errorf("%s: %w: %w: %w", doing, connector.ErrNotConnected, errNoAnswer, context.Cause(ctx))
}

var errNoAnswer = errors.New("no answer from IBM's library")

// codeOf is the reason code of an error of the library; 0 if it is none.
func codeOf(err error) int32 {
	var failed *ibmmq.MQReturn
	if errors.As(err, &failed) {
		return failed.MQRC
	}
	return rcNone
}

// failed is an error of the library, classified, that still tells its code.
type failed struct {
	error
	code int32
}

func (f *failed) Unwrap() error { return f.error }

// classified makes of an error of the library the one that chooses behaviour.
func classified(doing string, err error) error {
	if err == nil {
		return nil
	}
	if code := codeOf(err); code != rcNone {
		return &failed{classify(doing, code), code}
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// close ends the session. What is not committed is backed out.
func (s *session) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, byeTime)
	defer cancel()
	s.gone.Store(true)
	select {
	case s.turn <- struct{}{}:
	default:
		select {
		case s.turn <- struct{}{}:
		case <-ctx.Done():
			return s.hung("disconnect", ctx) // the call that hangs will do it
		}
	}
	done := newResult()
	go func() {
		s.hangUp()
		<-s.turn
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return s.hung("disconnect", ctx)
	}
}

// The pauses between tries of a last MQBACK.
const (
	firstPause = 10 * time.Millisecond
	lastPause  = 10 * time.Second
)

// hangUp backs out, because MQDISC alone would commit, and disconnects. When the unit of work cannot be backed out
// although the connection is there, it tries again, for some time, and at last leaves the connection as it is: one that
// stays until this process ends is better than a message that is committed although nobody has it.
func (s *session) hangUp() {
	s.once.Do(func() {
		for pause := firstPause; s.connected && pause <= lastPause; pause *= 2 {
			switch codeOf(s.manager.Back()) {
			case rcNone, rcConnectionBroken, rcBadConnection: // when it is broken, the queue manager backs out
				_ = s.manager.Disc()
				return
			}
			<-time.After(pause)
		}
	})
}

// open opens a queue.
func (s *session) open(ctx context.Context, queue, what string, options int32) (ibmmq.MQObject, error) {
	var object ibmmq.MQObject
	err := s.call(ctx, callTime, fmt.Sprintf("open %s %q", what, queue), func() (err error) {
		od := ibmmq.NewMQOD()
		od.ObjectType, od.ObjectName = ibmmq.MQOT_Q, queue
		object, err = s.manager.Open(od, options|ibmmq.MQOO_FAIL_IF_QUIESCING)
		return err
	})
	if err != nil {
		return ibmmq.MQObject{}, err
	}
	return object, nil
}

// watch opens the queue manager itself, so that it can be asked whether it is still there. Who may not does without.
func (s *session) watch(ctx context.Context) error {
	err := s.call(ctx, callTime, "open the queue manager", func() (err error) {
		od := ibmmq.NewMQOD()
		od.ObjectType = ibmmq.MQOT_Q_MGR
		s.pulse, err = s.manager.Open(od, ibmmq.MQOO_INQUIRE|ibmmq.MQOO_FAIL_IF_QUIESCING)
		s.beats = err == nil
		return err
	})
	if errors.Is(err, connector.ErrRefused) {
		return nil
	}
	return err
}

// beat asks whether the queue manager is still there.
func (s *session) beat(ctx context.Context) error {
	if !s.beats {
		return nil
	}
	return s.call(ctx, callTime, "ask the queue manager", func() error {
		_, err := s.pulse.Inq([]int32{ibmmq.MQCA_Q_MGR_NAME})
		return err
	})
}

// commit ends the unit of work.
func (s *session) commit(ctx context.Context) error {
	err := s.call(ctx, callTime, "MQCMIT", s.manager.Cmit)
	var known *failed
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known) && known.code == rcBackedOut:
		return errors.Join(commitFailed(known.code), s.backOut(ctx))
	case errors.As(err, &known):
		return commitFailed(known.code)
	case errors.Is(err, errNoAnswer):
		return fmt.Errorf("%w: the outcome is unknown: the queue manager may have committed, or not", err)
	}
	return err
}

// backOut undoes the unit of work.
func (s *session) backOut(ctx context.Context) error {
	err := s.call(ctx, callTime, "MQBACK", s.manager.Back)
	var known *failed
	if errors.As(err, &known) {
		return backOutFailed(known.code)
	}
	return err
}
