# RS256, as an identity provider signs: keys from its JWKS or from a file, tokens
# of that issuer and for this audience only, and no way to confuse the algorithms.
use strict;
use warnings;
use utf8;
use Test::More;
use JSON::PP ();
use MIME::Base64 'encode_base64url';
use TaskEvents::Test;

my $u = user('rs256');
my $path = task_path($u);
my %good = (iss => 'https://login.taskevents.example', aud => 'tasks');
my $header = { alg => 'RS256', typ => 'JWT', kid => 'issuer-1' };
my $public = TaskEvents::Test::read_file(root() . '/t/conf/issuer.pub');
sub rs256 { my (%claim) = @_; return token($u, -header => $header, -rsa => 'issuer', %good, %claim) }
sub as { my ($token, $vhost, $method, %option) = @_; return request($method // 'GET', $path, vhost => $vhost, headers => [Authorization => "Bearer $token"], %option) }

for my $vhost ('rs256', 'rs256_file') {
    my $how = $vhost eq 'rs256' ? 'JWKS' : 'file';
    my $r = as(rs256(), $vhost);
    is $r->{status}, 200, "$how: a token of the issuer" or diag $r->{raw};
    is as(rs256(), $vhost, POST => (json => { title => $how }))->{status}, 201, '… makes a task';
    is as(rs256(aud => ['other', 'tasks']), $vhost)->{status}, 200, '… for several audiences';
    is_problem(as(token(user('rs256-other'), -header => $header, -rsa => 'issuer', %good), $vhost), 403, '… of another user is 403');
    is_problem(request(GET => $path, vhost => $vhost), 401, '… none is 401');

    my ($head, $claims, $signature) = split /\./, rs256();
    my %bad = (
        'signed by a stranger' => token($u, -header => $header, -rsa => 'stranger', %good),
        'of a key nobody has' => token($u, -header => { %$header, kid => 'issuer-2' }, -rsa => 'stranger', %good),
        'expired' => rs256(exp => time - 3600, iat => time - 7200),
        'with claims exchanged' => join('.', $head, (split /\./, token(user('rs256-other'), -header => $header, -rsa => 'issuer', %good))[1], $signature),
        'without a subject' => rs256(sub => undef),
        'without a signature' => "$head.$claims.",
        'alg none' => token($u, -header => { alg => 'none', typ => 'JWT' }, %good),
        'alg none, with the kid' => token($u, -header => { alg => 'none', kid => 'issuer-1' }, %good),
        'alg none, signature kept' => join('.', (split /\./, token($u, -header => { alg => 'none' }, %good))[0, 1], $signature),
        # the public key is no secret: as an HMAC key it must sign nothing
        'HS256 with the public key' => token($u, -header => { alg => 'HS256', typ => 'JWT', kid => 'issuer-1' }, -key => $public, %good),
        'HS256 with the public key, without kid' => token($u, -header => { alg => 'HS256', typ => 'JWT' }, -key => $public, %good),
        'HS256 with the public key, trimmed' => token($u, -header => { alg => 'HS256', kid => 'issuer-1' }, -key => $public =~ s/\n\z//r, %good),
        'HS256 with the modulus' => token($u, -header => { alg => 'HS256', kid => 'issuer-1' }, -key => encode_base64url($public), %good),
        'HS256 with an empty key' => token($u, -header => { alg => 'HS256', kid => 'issuer-1' }, -key => '', %good),
        'RS256 in name, HMAC in fact' => token($u, -header => $header, -key => $public, %good),
        'with a key of its own' => token($u, -header => { %$header, jwk => { kty => 'oct', k => encode_base64url('k' x 32) } }, -key => 'k' x 32, %good),
        'with a key somewhere else' => token($u, -header => { %$header, kid => 'x', jku => 'http://127.0.0.1:1/keys' }, -rsa => 'stranger', %good),
    );
    for my $name (sort keys %bad) {
        my $r = as($bad{$name}, $vhost);
        is_problem($r, 401, "$how: a token $name");
        like $r->{headers}{'www-authenticate'} // '', qr/^Bearer\b/, '… is told how';
    }
}

# Require claim beside the owner
for my $case (['another issuer', iss => 'https://evil.example'], ['an issuer with more behind it', iss => 'https://login.taskevents.example.evil.example'],
              ['no issuer', iss => undef], ['another audience', aud => 'mail'], ['other audiences', aud => ['mail', 'tasks2']], ['no audience', aud => undef],
              ['the beginning of it', aud => 'task'], ['nothing in it', aud => '']) {
    my ($name, @claim) = @$case;
    my $r = as(rs256(@claim), 'rs256');
    like $r->{status}, qr/^40[13]$/, "$name is refused";
    is_problem($r, $r->{status}, '… as a problem');
    like as(rs256(@claim), 'rs256', POST => (json => { title => 'no' }))->{status}, qr/^40[13]$/, '… for a POST too';
}
is row('SELECT count(*) AS n FROM taskevents.tasks WHERE user_id = ?', $u)->{n}, 2, 'nobody else made a task';
# a host that verifies by shared key takes no RS256 of strangers, and the other way round
is_problem(as(token($u, -header => $header, -rsa => 'stranger', %good), 'oidc'), 401, 'the host of the shared key');
is_problem(as(token($u, %good), 'rs256_file'), 401, 'the shared key of another host');
expect_log(qr/\[auth_openidc:error\]/, 'what mod_auth_openidc says about a bad token');
finish();
