/*
 * A stand-in for IBM's libmqm_r.so: the calls of the MQI that zatoha makes, handed on to the test queue manager over TCP.
 * It knows nothing about queues. A request is a 4-byte length and what follows: the number of the call, then its
 * arguments in order. A long is 4 bytes; memory is its length as a long, and its bytes. An answer is a length,
 * completion code, reason, and the call's results. Everything is little-endian, as the machine is.
 *
 * Calls of one connection are made one after the other, as with MQCNO_HANDLE_SHARE_BLOCK. A connection that fails
 * answers 2009 until it is disconnected.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmqc.h>

enum { CALL_CONNX = 1, CALL_DISC, CALL_OPEN, CALL_CLOSE, CALL_GET, CALL_PUT, CALL_CMIT, CALL_BACK, CALL_INQ,
       CALL_CRTMH, CALL_DLTMH, CALL_SETMP, CALL_INQMP };

enum { MOST = 4096 };

typedef struct {
  int used, fd;
  pthread_mutex_t turn;
} connection;

static connection connections[MOST];
static pthread_mutex_t table = PTHREAD_MUTEX_INITIALIZER;

typedef struct {
  char *at;
  size_t size, room, next;
  int failed; /* out of memory, or read beyond the end */
} bytes;

static void add(bytes *b, const void *from, size_t n) {
  if (b->size + n > b->room) {
    size_t room = 2 * (b->size + n) + 64;
    char *at = realloc(b->at, room);
    if (at == NULL) {
      b->failed = 1;
      return;
    }
    b->at = at;
    b->room = room;
  }
  if (n > 0) memcpy(b->at + b->size, from, n);
  b->size += n;
}

static void add_long(bytes *b, MQLONG value) { add(b, &value, sizeof value); }

static void add_handle(bytes *b, MQHMSG value) { add(b, &value, sizeof value); }

static void add_memory(bytes *b, const void *from, MQLONG n) {
  if (from == NULL || n < 0) n = 0;
  add_long(b, n);
  add(b, from, n);
}

/* The name of a queue manager, or any text in a field that may be full. */
static void add_text(bytes *b, const char *from, size_t most) { add_memory(b, from, from == NULL ? 0 : strnlen(from, most)); }

static void take(bytes *b, void *into, size_t n) {
  if (b->failed || b->next + n > b->size) {
    b->failed = 1;
    memset(into, 0, n);
    return;
  }
  memcpy(into, b->at + b->next, n);
  b->next += n;
}

static MQLONG take_long(bytes *b) {
  MQLONG value;
  take(b, &value, sizeof value);
  return value;
}

/* Takes memory into a place that has room for so many bytes, and returns how many there were. */
static MQLONG take_memory(bytes *b, void *into, MQLONG room) {
  MQLONG n = take_long(b);
  if (n > room || into == NULL) {
    if (n != 0) b->failed = 1;
    return 0;
  }
  take(b, into, n);
  return n;
}

static int write_all(int fd, const char *from, size_t n) {
  while (n > 0) {
    ssize_t written = send(fd, from, n, MSG_NOSIGNAL);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return 0;
    from += written;
    n -= written;
  }
  return 1;
}

static int read_all(int fd, char *into, size_t n) {
  while (n > 0) {
    ssize_t got = recv(fd, into, n, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return 0;
    into += got;
    n -= got;
  }
  return 1;
}

static void result(PMQLONG code, PMQLONG reason, MQLONG r) {
  *reason = r;
  *code = r == MQRC_NONE ? MQCC_OK : MQCC_FAILED;
}

/* Sends a request and reads its answer into an emptied one. 0 if the connection is broken. */
static int ask(int fd, bytes *request, bytes *answer) {
  uint32_t n = (uint32_t)request->size;
  if (fd < 0 || request->failed || !write_all(fd, (char *)&n, sizeof n) || !write_all(fd, request->at, n)) return 0;
  if (!read_all(fd, (char *)&n, sizeof n) || n < 8) return 0;
  answer->at = malloc(n);
  answer->size = answer->room = n;
  return answer->at != NULL && read_all(fd, answer->at, n);
}

/* Begins a call: locks the connection. NULL if there is none of the handle. */
static connection *enter(MQHCONN h, PMQLONG code, PMQLONG reason) {
  if (h < 1 || h >= MOST || !connections[h].used) {
    result(code, reason, MQRC_HCONN_ERROR);
    return NULL;
  }
  pthread_mutex_lock(&connections[h].turn);
  return &connections[h];
}

static void hang_up(connection *c) {
  if (c->fd >= 0) close(c->fd);
  c->fd = -1;
}

/* Makes a call on a locked connection, frees the request and unlocks. The caller reads the rest of the answer, and frees it. */
static void call(connection *c, bytes *request, bytes *answer, PMQLONG code, PMQLONG reason) {
  if (ask(c->fd, request, answer)) {
    *code = take_long(answer);
    *reason = take_long(answer);
    if (*reason == MQRC_CONNECTION_BROKEN) hang_up(c);
  } else {
    hang_up(c);
    answer->failed = 1;
    result(code, reason, MQRC_CONNECTION_BROKEN);
  }
  free(request->at);
  pthread_mutex_unlock(&c->turn);
}

#define BEGIN(number)                              \
  bytes request = {0}, answer = {0};               \
  connection *c = enter(Hconn, pCompCode, pReason); \
  if (c == NULL) return;                           \
  add_long(&request, number)
#define CALL() call(c, &request, &answer, pCompCode, pReason)
#define END() free(answer.at)

/* Connects to one "host(port)". */
static int dial(const char *name, size_t n) {
  char host[300], port[16] = "1414";
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *all, *one;
  int fd = -1, on = 1;
  char *open;
  snprintf(host, sizeof host, "%.*s", (int)n, name);
  if ((open = strchr(host, '(')) != NULL) {
    *open = 0;
    snprintf(port, sizeof port, "%s", open + 1);
    port[strcspn(port, ")")] = 0;
  }
  if (getaddrinfo(host, port, &hints, &all) != 0) return -1;
  for (one = all; one != NULL && fd < 0; one = one->ai_next) {
    fd = socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC, one->ai_protocol);
    if (fd >= 0 && connect(fd, one->ai_addr, one->ai_addrlen) != 0) {
      close(fd);
      fd = -1;
    }
  }
  freeaddrinfo(all);
  if (fd >= 0) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

/* Connects to the first that answers in a list of names. */
static int dial_any(const char *names, size_t most) {
  size_t n = strnlen(names, most), begin = 0;
  int fd = -1;
  while (begin < n && fd < 0) {
    size_t length = strcspn(names + begin, ",");
    if (begin + length > n) length = n - begin;
    fd = dial(names + begin, length);
    begin += length + 1;
  }
  return fd;
}

static MQHCONN new_handle(int fd) {
  MQHCONN h;
  pthread_mutex_lock(&table);
  for (h = 1; h < MOST && connections[h].used; h++) {}
  if (h < MOST) {
    connections[h].used = 1;
    connections[h].fd = fd;
    pthread_mutex_init(&connections[h].turn, NULL);
  }
  pthread_mutex_unlock(&table);
  return h;
}

void MQCONNX(PMQCHAR pQMgrName, PMQCNO pConnectOpts, PMQHCONN pHconn, PMQLONG pCompCode, PMQLONG pReason) {
  bytes request = {0}, answer = {0};
  PMQCNO o = pConnectOpts;
  PMQCD d = o == NULL ? NULL : o->ClientConnPtr;
  PMQSCO s = o == NULL ? NULL : o->SSLConfigPtr;
  PMQCSP u = o == NULL ? NULL : o->SecurityParmsPtr;
  int fd;
  *pHconn = MQHC_UNUSABLE_HCONN;
  if (d == NULL || memcmp(o->StrucId, "CNO ", 4) != 0 || d->ChannelType != MQCHT_CLNTCONN) {
    result(pCompCode, pReason, MQRC_Q_MGR_NOT_AVAILABLE); /* there is none on this machine */
    return;
  }
  if ((fd = dial_any(d->ConnectionName, sizeof d->ConnectionName)) < 0) {
    result(pCompCode, pReason, MQRC_HOST_NOT_AVAILABLE);
    return;
  }
  add_long(&request, CALL_CONNX);
  add_text(&request, pQMgrName, 48);
  add_long(&request, o->Options);
  add_text(&request, d->ChannelName, sizeof d->ChannelName);
  add_long(&request, d->MaxMsgLength);
  add_text(&request, d->SSLCipherSpec, sizeof d->SSLCipherSpec);
  add_memory(&request, d->SSLPeerNamePtr, d->SSLPeerNameLength);
  add_text(&request, d->CertificateLabel, sizeof d->CertificateLabel);
  add_text(&request, s == NULL ? NULL : s->KeyRepository, sizeof s->KeyRepository);
  add_memory(&request, s == NULL ? NULL : s->KeyRepoPasswordPtr, s == NULL ? 0 : s->KeyRepoPasswordLength);
  add_memory(&request, u == NULL ? NULL : u->CSPUserIdPtr, u == NULL ? 0 : u->CSPUserIdLength);
  add_memory(&request, u == NULL ? NULL : u->CSPPasswordPtr, u == NULL ? 0 : u->CSPPasswordLength);
  add_text(&request, o->Version < MQCNO_VERSION_7 ? NULL : o->ApplName, sizeof o->ApplName);
  if (ask(fd, &request, &answer)) {
    *pCompCode = take_long(&answer);
    *pReason = take_long(&answer);
  } else {
    result(pCompCode, pReason, MQRC_Q_MGR_NOT_AVAILABLE);
  }
  free(request.at);
  END();
  if (*pCompCode != MQCC_OK) {
    close(fd);
    return;
  }
  if ((*pHconn = new_handle(fd)) == MOST) {
    *pHconn = MQHC_UNUSABLE_HCONN;
    close(fd);
    result(pCompCode, pReason, MQRC_MAX_CONNS_LIMIT_REACHED);
  }
}

void MQDISC(PMQHCONN pHconn, PMQLONG pCompCode, PMQLONG pReason) {
  MQHCONN Hconn = *pHconn;
  BEGIN(CALL_DISC);
  CALL();
  END();
  pthread_mutex_lock(&table);
  hang_up(c);
  c->used = 0;
  pthread_mutex_unlock(&table);
  *pHconn = MQHC_UNUSABLE_HCONN;
}

void MQOPEN(MQHCONN Hconn, PMQVOID pObjDesc, MQLONG Options, PMQHOBJ pHobj, PMQLONG pCompCode, PMQLONG pReason) {
  BEGIN(CALL_OPEN);
  add_memory(&request, pObjDesc, sizeof(MQOD));
  add_long(&request, Options);
  CALL();
  *pHobj = *pCompCode == MQCC_OK ? take_long(&answer) : MQHO_UNUSABLE_HOBJ;
  END();
}

void MQCLOSE(MQHCONN Hconn, PMQHOBJ pHobj, MQLONG Options, PMQLONG pCompCode, PMQLONG pReason) {
  BEGIN(CALL_CLOSE);
  add_long(&request, *pHobj);
  add_long(&request, Options);
  CALL();
  if (*pCompCode == MQCC_OK) *pHobj = MQHO_UNUSABLE_HOBJ;
  END();
}

void MQGET(MQHCONN Hconn, MQHOBJ Hobj, PMQVOID pMsgDesc, PMQVOID pGetMsgOpts, MQLONG BufferLength, PMQVOID pBuffer,
           PMQLONG pDataLength, PMQLONG pCompCode, PMQLONG pReason) {
  BEGIN(CALL_GET);
  add_long(&request, Hobj);
  add_memory(&request, pMsgDesc, sizeof(MQMD));
  add_memory(&request, pGetMsgOpts, sizeof(MQGMO));
  add_long(&request, BufferLength);
  CALL();
  if (!answer.failed && answer.next < answer.size) {
    *pDataLength = take_long(&answer);
    take_memory(&answer, pMsgDesc, sizeof(MQMD));
    take_memory(&answer, pBuffer, BufferLength);
  }
  END();
}

void MQPUT(MQHCONN Hconn, MQHOBJ Hobj, PMQVOID pMsgDesc, PMQVOID pPutMsgOpts, MQLONG BufferLength, PMQVOID pBuffer,
           PMQLONG pCompCode, PMQLONG pReason) {
  BEGIN(CALL_PUT);
  add_long(&request, Hobj);
  add_memory(&request, pMsgDesc, sizeof(MQMD));
  add_memory(&request, pPutMsgOpts, sizeof(MQPMO));
  add_memory(&request, pBuffer, BufferLength);
  CALL();
  if (*pCompCode != MQCC_FAILED) take_memory(&answer, pMsgDesc, sizeof(MQMD));
  END();
}

void MQCMIT(MQHCONN Hconn, PMQLONG pCompCode, PMQLONG pReason) {
  BEGIN(CALL_CMIT);
  CALL();
  END();
}

void MQBACK(MQHCONN Hconn, PMQLONG pCompCode, PMQLONG pReason) {
  BEGIN(CALL_BACK);
  CALL();
  END();
}

void MQINQ(MQHCONN Hconn, MQHOBJ Hobj, MQLONG SelectorCount, PMQLONG pSelectors, MQLONG IntAttrCount, PMQLONG pIntAttrs,
           MQLONG CharAttrLength, PMQCHAR pCharAttrs, PMQLONG pCompCode, PMQLONG pReason) {
  BEGIN(CALL_INQ);
  add_long(&request, Hobj);
  add_memory(&request, pSelectors, SelectorCount * (MQLONG)sizeof(MQLONG));
  CALL();
  if (*pCompCode == MQCC_OK) {
    take_memory(&answer, pIntAttrs, IntAttrCount * (MQLONG)sizeof(MQLONG));
    take_memory(&answer, pCharAttrs, CharAttrLength);
  }
  END();
}

void MQCRTMH(MQHCONN Hconn, PMQVOID pCrtMsgHOpts, PMQHMSG pHmsg, PMQLONG pCompCode, PMQLONG pReason) {
  BEGIN(CALL_CRTMH);
  add_memory(&request, pCrtMsgHOpts, sizeof(MQCMHO));
  CALL();
  *pHmsg = *pCompCode == MQCC_OK ? take_long(&answer) : MQHM_UNUSABLE_HMSG;
  END();
}

void MQDLTMH(MQHCONN Hconn, PMQHMSG pHmsg, PMQVOID pDltMsgHOpts, PMQLONG pCompCode, PMQLONG pReason) {
  BEGIN(CALL_DLTMH);
  add_handle(&request, *pHmsg);
  add_memory(&request, pDltMsgHOpts, sizeof(MQDMHO));
  CALL();
  if (*pCompCode == MQCC_OK) *pHmsg = MQHM_UNUSABLE_HMSG;
  END();
}

void MQSETMP(MQHCONN Hconn, MQHMSG Hmsg, PMQVOID pSetPropOpts, PMQVOID pName, PMQVOID pPropDesc, MQLONG Type,
             MQLONG ValueLength, PMQVOID pValue, PMQLONG pCompCode, PMQLONG pReason) {
  PMQCHARV name = pName;
  BEGIN(CALL_SETMP);
  add_handle(&request, Hmsg);
  add_memory(&request, pSetPropOpts, sizeof(MQSMPO));
  add_memory(&request, name->VSPtr, name->VSLength);
  add_memory(&request, pPropDesc, sizeof(MQPD));
  add_long(&request, Type);
  add_memory(&request, pValue, ValueLength);
  CALL();
  END();
}

/* The name that was found is not returned: only a property whose name is given can be inquired. */
void MQINQMP(MQHCONN Hconn, MQHMSG Hmsg, PMQVOID pInqPropOpts, PMQVOID pName, PMQVOID pPropDesc, PMQLONG pType,
             MQLONG ValueLength, PMQVOID pValue, PMQLONG pDataLength, PMQLONG pCompCode, PMQLONG pReason) {
  PMQCHARV name = pName;
  BEGIN(CALL_INQMP);
  (void)pPropDesc;
  add_handle(&request, Hmsg);
  add_memory(&request, pInqPropOpts, sizeof(MQIMPO));
  add_memory(&request, name->VSPtr, name->VSLength);
  add_long(&request, ValueLength);
  CALL();
  if (*pCompCode != MQCC_FAILED) {
    *pType = take_long(&answer);
    *pDataLength = take_memory(&answer, pValue, ValueLength);
  }
  END();
}

/* What zatoha does not call is refused. */
#define REFUSED result(pCompCode, pReason, MQRC_FUNCTION_NOT_SUPPORTED)
#define UNUSED(x) (void)(x)

void MQBEGIN(MQHCONN h, PMQVOID o, PMQLONG pCompCode, PMQLONG pReason) { UNUSED(h); UNUSED(o); REFUSED; }
void MQCB(MQHCONN h, MQLONG n, PMQVOID d, MQHOBJ q, PMQVOID m, PMQVOID g, PMQLONG pCompCode, PMQLONG pReason) {
  UNUSED(h); UNUSED(n); UNUSED(d); UNUSED(q); UNUSED(m); UNUSED(g); REFUSED;
}
void MQCTL(MQHCONN h, MQLONG n, PMQVOID o, PMQLONG pCompCode, PMQLONG pReason) { UNUSED(h); UNUSED(n); UNUSED(o); REFUSED; }
void MQDLTMP(MQHCONN h, MQHMSG m, PMQVOID o, PMQVOID n, PMQLONG pCompCode, PMQLONG pReason) {
  UNUSED(h); UNUSED(m); UNUSED(o); UNUSED(n); REFUSED;
}
void MQPUT1(MQHCONN h, PMQVOID d, PMQVOID m, PMQVOID o, MQLONG n, PMQVOID b, PMQLONG pCompCode, PMQLONG pReason) {
  UNUSED(h); UNUSED(d); UNUSED(m); UNUSED(o); UNUSED(n); UNUSED(b); REFUSED;
}
void MQSET(MQHCONN h, MQHOBJ q, MQLONG n, PMQLONG s, MQLONG i, PMQLONG v, MQLONG l, PMQCHAR t, PMQLONG pCompCode, PMQLONG pReason) {
  UNUSED(h); UNUSED(q); UNUSED(n); UNUSED(s); UNUSED(i); UNUSED(v); UNUSED(l); UNUSED(t); REFUSED;
}
void MQSTAT(MQHCONN h, MQLONG n, PMQVOID s, PMQLONG pCompCode, PMQLONG pReason) { UNUSED(h); UNUSED(n); UNUSED(s); REFUSED; }
void MQSUB(MQHCONN h, PMQVOID d, PMQHOBJ q, PMQHOBJ s, PMQLONG pCompCode, PMQLONG pReason) {
  UNUSED(h); UNUSED(d); UNUSED(q); UNUSED(s); REFUSED;
}
void MQSUBRQ(MQHCONN h, MQHOBJ s, MQLONG a, PMQVOID o, PMQLONG pCompCode, PMQLONG pReason) {
  UNUSED(h); UNUSED(s); UNUSED(a); UNUSED(o); REFUSED;
}
