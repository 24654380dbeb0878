# The examples of docs/api.md, against the service that TASKEVENTS_URL names: in
# the order of the document, in one shell, so that variables stay.
use strict;
use warnings;

use Encode qw(encode);
use File::Temp ();
use JSON::PP ();
use Test::More;
use TaskEvents::Docs qw(blocks read_file src);

my @blocks = blocks(read_file(src() . '/docs/api.md'));
my $mark = "=== end of a block $$ ===";
my $script = File::Temp->new(SUFFIX => '.sh');
my @shown;

for my $i (0 .. $#blocks) {
    my $block = $blocks[$i];
    next if $block->{language} ne 'sh';
    my $answer = $i < $#blocks && $blocks[$i + 1]{language} eq 'http' ? $blocks[$i + 1] : undef;
    push @shown, {%$block, answer => $answer};
    print $script encode('UTF-8', "$block->{text}\nprintf '\\n%s\\n' '$mark'\n");
}
close $script;

my $out = qx(bash $script 2>&1);
my @got = split /\n\Q$mark\E\n/, $out;
is(scalar @got, scalar @shown, 'every example ran') or diag($out);

# The shape of a value: names and types, not what changes from run to run.
sub shape {
    my ($v) = @_;

    return {map { $_ => shape($v->{$_}) } keys %$v} if ref $v eq 'HASH';
    return @$v ? [shape($v->[0])] : [] if ref $v eq 'ARRAY';
    return 'any';
}

# The last answer: a client may be told 100 Continue first.
sub answer {
    my ($text) = @_;

    $text =~ tr/\r//d;
    $text =~ s{\A.*(?=^HTTP/1\.1 [2-5])}{}ms;
    my ($head, $body) = split /\n\n/, $text, 2;
    my ($status, @lines) = split /\n/, $head // '';
    my %headers = map { /^([^:]+):\s*(.*)$/ ? (lc $1 => $2) : () } @lines;
    return ($status // '', \%headers, ($body // '') =~ s/\s+\z//r);
}

my $json = JSON::PP->new->allow_nonref;
for my $i (0 .. $#shown) {
    next if !$shown[$i]{answer} || !defined $got[$i];
    my $name = "docs/api.md:$shown[$i]{line}";
    my ($status, $headers, $body) = answer($shown[$i]{answer}{text});
    my ($status_now, $headers_now, $body_now) = answer($got[$i]);

    is($status_now, $status, "$name: $status") or diag($got[$i]);
    for my $header (sort keys %$headers) {
        ok(defined $headers_now->{$header}, "$name: has $header") or diag($got[$i]);
    }
    for my $header (grep { $headers->{$_} } qw(content-type allow retry-after)) {
        is($headers_now->{$header}, $headers->{$header}, "$name: its $header");
    }
    if ($body eq '') {
        is($body_now, '', "$name: no body");
        next;
    }
    my $value = $json->decode(encode('UTF-8', $body));
    my $value_now = eval { $json->decode($body_now) };
    is_deeply(shape($value_now), shape($value), "$name: the body has these members")
        or diag($got[$i]);
    is($value_now->{detail}, $value->{detail}, "$name: the same words")
        if ref $value eq 'HASH' && $value->{detail};
}

done_testing();
