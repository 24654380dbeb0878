package TaskEvents::TestRun;

# Apache::TestRun, told about the one thing it cannot inherit: our module.

use strict;
use warnings;
use parent 'Apache::TestRun';
use MIME::Base64 qw(encode_base64 encode_base64url);
use Digest::SHA 'sha1';
use File::Path 'make_path';
use TaskEvents::Secrets;

sub configure
{
    my ($self) = @_;
    my $config = $self->{test_config};
    if ($self->{conf_opts}{save}) {
        write_secrets("$config->{vars}{serverroot}/conf");
        write_issuer("$config->{vars}{serverroot}/conf", "$config->{vars}{serverroot}/issuer");
        $config->preamble(LoadModule => qq{taskevents_module "$ENV{TASKEVENTS_TEST_MODULE}"});
        $config->{modules}{'mod_taskevents.c'} = 1;     # for need_module('taskevents')
    }
    return $self->SUPER::configure;
}

# The files that a configuration names instead of a secret.
sub write_secrets
{
    my ($dir) = @_;
    write_file("$dir/app-token", APP_TOKEN . "\n");
    write_file("$dir/htpasswd", map {
        "$_:{SHA}" . encode_base64(sha1(PASSWORD), '') . "\n" } BASIC_USERS);
}

# An issuer of RS256 tokens: its key, the public half as a file and as a JWKS, and
# the key of somebody who is not it.
sub write_issuer
{
    my ($dir, $public) = @_;
    for my $name ('issuer', 'stranger') {
        must('openssl', 'genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048', '-out', "$dir/$name.pem")
            if !-s "$dir/$name.pem";
        must('openssl', 'pkey', '-in', "$dir/$name.pem", '-pubout', '-out', "$dir/$name.pub");
    }
    must('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=127.0.0.1', '-days', '2',
        '-keyout', "$dir/https.pem", '-out', "$dir/https.crt", '-batch') if !-s "$dir/https.crt";
    my ($modulus) = qx(openssl rsa -in "$dir/issuer.pem" -noout -modulus) =~ /=([0-9A-F]+)/ or die 'openssl rsa';
    make_path($public);
    write_file("$public/jwks.json", sprintf '{"keys":[{"kty":"RSA","use":"sig","alg":"RS256","kid":"issuer-1","e":"AQAB","n":"%s"}]}',
        encode_base64url(pack 'H*', $modulus));
}

sub must { system(@_) == 0 or die "@_: $?" }

sub write_file
{
    my ($name, @text) = @_;
    open my $file, '>', $name or die "$name: $!";
    print {$file} @text;
    close $file or die "$name: $!";
}

1;
