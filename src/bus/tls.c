/* SPDX-License-Identifier: MIT */
#include "bus/tls.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>

struct ml_tls {
    SSL_CTX *context;
    SSL *ssl; /* owns both */
    BIO *in, *out;
};

static void complain(const struct ml_tls *tls)
{
    char text[160];
    long verdict = tls->ssl ? SSL_get_verify_result(tls->ssl) : X509_V_OK;
    unsigned long error = ERR_get_error();

    ERR_error_string_n(error, text, sizeof text);
    ERR_clear_error();
    ml_log(ML_LOG_ERROR, "bus.refused", "tls=%s certificate=%s",
           ML_LOG_TEXT(ml_slice_str(error ? text : "closed")),
           ML_LOG_TEXT(ml_slice_str(X509_verify_cert_error_string(verdict))));
}

static bool set_host(SSL *ssl, const char *host)
{
    struct in6_addr address;

    if (inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

static bool make(struct ml_tls *tls, const char *ca_path, const char *host)
{
    tls->context = SSL_CTX_new(TLS_client_method());
    if (!tls->context || SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION) != 1)
        return false;
    if ((ca_path[0] ? SSL_CTX_load_verify_locations(tls->context, ca_path, NULL)
                    : SSL_CTX_set_default_verify_paths(tls->context)) != 1)
        return false;
    SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER, NULL);
    tls->ssl = SSL_new(tls->context);
    tls->in = BIO_new(BIO_s_mem());
    tls->out = BIO_new(BIO_s_mem());
    if (!tls->ssl || !tls->in || !tls->out) {
        BIO_free(tls->in);
        BIO_free(tls->out);
        return false;
    }
    SSL_set_bio(tls->ssl, tls->in, tls->out);
    SSL_set_connect_state(tls->ssl);
    return set_host(tls->ssl, host);
}

struct ml_tls *ml_tls_new(const char *ca_path, const char *host)
{
    struct ml_tls *tls = calloc(1, sizeof *tls);

    if (tls && !make(tls, ca_path, host)) {
        complain(tls);
        ml_tls_free(tls);
        return NULL;
    }
    return tls;
}

void ml_tls_free(struct ml_tls *tls)
{
    if (!tls)
        return;
    SSL_free(tls->ssl);
    SSL_CTX_free(tls->context);
    free(tls);
}

bool ml_tls_feed(struct ml_tls *tls, struct ml_slice bytes)
{
    return BIO_write(tls->in, bytes.ptr, (int)bytes.len) == (int)bytes.len;
}

/* Does it only wait for the other side? */
static bool wants_more(const struct ml_tls *tls, int result)
{
    int error = SSL_get_error(tls->ssl, result);

    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

bool ml_tls_greet(struct ml_tls *tls, bool *is_done_out)
{
    int result;

    ERR_clear_error();
    result = SSL_do_handshake(tls->ssl);
    *is_done_out = result == 1;
    if (result == 1 || wants_more(tls, result))
        return true;
    complain(tls);
    return false;
}

long ml_tls_read(struct ml_tls *tls, void *to, size_t size)
{
    int got;

    ERR_clear_error();
    got = SSL_read(tls->ssl, to, (int)size);
    if (got > 0)
        return got;
    return wants_more(tls, got) ? 0 : -1;
}

bool ml_tls_write(struct ml_tls *tls, struct ml_slice bytes)
{
    ERR_clear_error();
    return SSL_write(tls->ssl, bytes.ptr, (int)bytes.len) == (int)bytes.len;
}

size_t ml_tls_take(struct ml_tls *tls, void *to, size_t size)
{
    int got = BIO_read(tls->out, to, (int)size);

    return got > 0 ? (size_t)got : 0;
}

size_t ml_tls_waiting(struct ml_tls *tls)
{
    return BIO_ctrl_pending(tls->out);
}
