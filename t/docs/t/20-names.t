# The reference names what there is, all of it and nothing else.
use strict;
use warnings;

use Test::More;
use TaskEvents::Docs qw(blocks conf_files doc_files httpd_says minimal_with places read_file relative
                        source_files src);

sub keys_of { my %seen = map { $_ => 1 } @_; return [sort keys %seen] }

# --- directives: httpd itself lists them ---------------------------------------

my $table = read_file(src() . '/mod_taskevents/http/directives.c');
my @directives = $table =~ /AP_INIT_\w+\("(\w+)"/g;
cmp_ok(scalar @directives, '>', 0, 'the module has directives');

my %says;    # what httpd -L says of each
while ($table =~ /AP_INIT_\w+\("(\w+)",\s*\w+,\s*NULL,\s*RSRC_CONF,\s*((?:"[^"]*"\s*)+)\)/g) {
    my ($name, $literals) = ($1, $2);
    $says{$name} = join '', $literals =~ /"([^"]*)"/g;
}

my $reference = read_file(src() . '/docs/directives.md');
my @described = $reference =~ /^## (TaskEvents\w+)$/gm;
is_deeply(keys_of(@described), keys_of(@directives),
          'docs/directives.md describes each directive, and no other');
is(scalar @described, scalar @{keys_of(@described)}, 'each of them once');

# alerts and lines of mod_status begin alike
my $status = read_file(src() . '/mod_taskevents/http/server_status.c');
my @alike = (read_file(src() . '/docs/operations/rules.yml') =~ /- alert: (\w+)/g,
             $status =~ /(TaskEvents\w+): /g, map { "TaskEvents$_" } $status =~ /\{"([A-Z]\w+)", "/g);
my %exists = map { $_ => 1 } @directives, @alike;
for my $file (doc_files(), conf_files()) {
    my @unknown = grep { !$exists{$_} } read_file($file) =~ /\b(TaskEvents[A-Z][A-Za-z]*)\b/g;
    is_deeply(keys_of(@unknown), [], relative($file) . ' names directives that exist');
}
my $full = read_file(src() . '/conf/taskevents.conf');
is_deeply([grep { $full !~ /^\s*#?$_ /m } @directives], [],
          'conf/taskevents.conf has a line for each directive');

for my $name (@directives) {
    my ($section) = $reference =~ /^## $name\n(.*?)(?=^## |\z)/ms;
    my %row = $section =~ /^\| \*\*(\w+)\*\* \| (\S.*) \|$/mg;
    is_deeply([grep { !exists $row{$_} } qw(Description Syntax Default Context Status Module)], [],
              "$name: told as httpd's manual does");
    is($row{Description}, $says{$name}, "$name: described as httpd -L does");
    is("$row{Status} $row{Module}", 'Extension mod_taskevents', "$name: no part of httpd");
}

# --- the sentences that refuse a value -------------------------------------------

# In a ```refused block, the last line is what httpd answers to those before it.
my $refused = 0;
while ($reference =~ /^```refused\n(.*?)^```$/gms) {
    my @lines = split /\n/, $1;
    my $sentence = pop @lines;
    my $dir = places();
    my ($status, $said) = httpd_says(minimal_with(join("\n", @lines) =~ s{/etc/taskevents}{$dir/secrets}gr));

    ++$refused;
    $said =~ s{\Q$dir/secrets\E}{/etc/taskevents}g;
    $said =~ s/\s+/ /g;
    isnt($status, 0, "refused: $lines[-1]");
    ok(index($said, $sentence) >= 0, "in these words: $sentence") or diag($said);
}
cmp_ok($refused, '>=', 15, 'the sentences are shown');

# In an ```apache block of a document, all is taken.
for my $lines (map { $_->{language} eq 'apache' ? $_->{text} : () } map { blocks(read_file($_)) } doc_files()) {
    my $dir = places();
    my ($status, $said) = httpd_says(minimal_with($lines =~ s{/etc/taskevents}{$dir/secrets}gr));
    my ($first) = $lines =~ /(.*)/;

    is($status, 0, "taken: $first") or diag($said);
}

# --- log codes ---------------------------------------------------------------------

my %level_of;
for my $file (source_files()) {
    my $code = read_file($file);

    while ($code =~ /(?:ap_log_r?error|te_log(?:_record|_goes_on)?)\(((?:(?!ap_log_r?error|te_log).)*?)"(TE\d{4})/gs) {
        my ($arguments, $name) = ($1, $2);
        $level_of{$name}{lc $_} = 1 for $arguments =~ /\b(?:APLOG|TE_LOG)_(?!MARK)(\w+)/g;
    }
}
my %row;
my $codes = read_file(src() . '/docs/log-codes.md');
while ($codes =~ /^\| (TE\d{4}) \| ([^|]+) \|/gm) {
    my ($name, $levels) = ($1, $2);
    ok(!$row{$name}, "$name has one row");
    $row{$name} = join ' ', sort($levels =~ /(\w+)/g);
}
# as LogLevel names them
my %written = map {
    $_ => join(' ', sort map { $_ eq 'err' ? 'error' : $_ } keys %{$level_of{$_}})
} keys %level_of;
is_deeply(\%row, \%written, 'docs/log-codes.md has each code of the sources, with its level');

for my $file (doc_files(), conf_files()) {
    my @unknown = grep { !$level_of{$_} } read_file($file) =~ /\b(TE\d{4})\b/g;
    is_deeply(keys_of(@unknown), [], relative($file) . ' names log codes that exist');
}

done_testing();
