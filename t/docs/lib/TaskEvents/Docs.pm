package TaskEvents::Docs;

# What the tests of the documents share: the files, their code blocks, and an
# httpd that reads a configuration and says what it thinks of it.

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter qw(import);
use File::Copy qw(copy);
use File::Find qw(find);
use File::Temp qw(tempdir);
use POSIX qw(setuid setgid);

our @EXPORT_OK = qw(blocks conf_files doc_files filled_in httpd_says
                    minimal_with places read_file relative source_files src);

sub src { return $ENV{TASKEVENTS_SRC} // die "TASKEVENTS_SRC: see t/docs/run\n" }

sub read_file {
    my ($path) = @_;

    open my $in, '<:encoding(UTF-8)', $path or die "$path: $!\n";
    local $/;
    return scalar <$in>;
}

sub relative {
    my ($path) = @_;

    $path =~ s{^\Q${\ src()}\E/}{};
    return $path;
}

sub files_below {
    my ($dir, $wanted) = @_;
    my @files;

    find(sub { push @files, $File::Find::name if -f && /$wanted/ },
         src() . "/$dir");
    return sort @files;
}

sub doc_files { return (src() . '/README.md', files_below('docs', qr/\.md$/)) }
sub conf_files { return files_below('conf', qr/\.conf$/) }
sub source_files { return files_below('mod_taskevents', qr/\.[ch]$/) }

# The fenced code blocks of a document: {language, text, line}.
sub blocks {
    my ($text) = @_;
    my ($open, @blocks);
    my $line = 0;

    for (split /^/, $text) {
        ++$line;
        if (!$open && /^```(\w*)\s*$/) {
            $open = {language => $1, text => '', line => $line};
        }
        elsif ($open && /^```\s*$/) {
            push @blocks, $open;
            undef $open;
        }
        elsif ($open) {
            $open->{text} .= $_;
        }
    }
    die "a code block is never closed\n" if $open;
    return @blocks;
}

# --- httpd -------------------------------------------------------------------

sub apxs {
    my ($name) = @_;
    my ($apxs) = grep { -x } map { ("$_/apxs", "$_/apxs2") } split /:/, $ENV{PATH};

    die "no apxs: install httpd's development files\n" if !$apxs;
    my $value = qx("$apxs" -q $name);
    chomp $value;
    return $value;
}

my $dir;

# Where everything that a configuration names is, on this machine.
sub places {
    return $dir if $dir;

    # not below a directory that only root may enter
    $dir = tempdir('taskevents-docs-XXXXXX', TMPDIR => 1, CLEANUP => 1);
    chmod 0755, $dir;
    mkdir "$dir/$_" for qw(run logs secrets);
    copy($ENV{TASKEVENTS_MODULE}, "$dir/mod_taskevents.so")
        or die "$ENV{TASKEVENTS_MODULE}: $!\n";
    my %secrets = (
        'app-token'      => "one-token\nanother-token\n",
        'dapr-token'     => "one-token\n",
        'alert-secret'   => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
        'empty'          => '',
        'writable'       => "one-token\n",
        'oauth-key.conf' => qq(OIDCOAuthVerifySharedKeys "plain##a-secret-of-this-test"\n),
        'users'          => "alice:x\n",
    );
    for my $name (keys %secrets) {
        open my $out, '>', "$dir/secrets/$name" or die "$dir/secrets/$name: $!\n";
        print $out $secrets{$name};
        close $out;
        chmod 0600, "$dir/secrets/$name";
        chmod 0666, "$dir/secrets/$name" if $name eq 'writable';
        # httpd is started by an ordinary user
        chown((getpwnam('nobody'))[2, 3], "$dir/secrets/$name") if $> == 0;
    }
    return $dir;
}

# The Defines at the head of a configuration, with this machine's values.
sub filled_in {
    my ($text) = @_;
    my $dir = places();
    my %value = (
        TE_MODULES  => apxs('LIBEXECDIR'),
        TE_MODULE   => "$dir/mod_taskevents.so",
        TE_RUN      => "$dir/run",
        TE_LOGS     => "$dir/logs",
        TE_SECRETS  => "$dir/secrets",
        TE_DATABASE => '"host=127.0.0.1 dbname=taskevents user=taskevents"',
    );

    $text =~ s{^Define[ ]+(\w+)[ ]+.*$}
              {'Define ' . $1 . ' ' . ($value{$1} // die "Define $1 is not known\n")}gmex;
    return $text;
}

# The least server that reads these lines of the module.
sub minimal_with {
    my ($lines) = @_;

    return filled_in(<<'CONF') . $lines . "\n";
Define TE_MODULES  x
Define TE_MODULE   x
Define TE_RUN      x
Define TE_LOGS     x
Define TE_SECRETS  x
ServerName 127.0.0.1
DefaultRuntimeDir "${TE_RUN}"
PidFile  "${TE_RUN}/httpd.pid"
ErrorLog "${TE_LOGS}/error.log"
LoadModule mpm_event_module    "${TE_MODULES}/mod_mpm_event.so"
LoadModule authz_core_module   "${TE_MODULES}/mod_authz_core.so"
LoadModule taskevents_module   "${TE_MODULE}"
CONF
}

# `httpd -t` by an ordinary user, without the environment's own settings.
# @return (exit status, what it said)
sub httpd_says {
    my ($conf) = @_;
    my $dir = places();
    my $file = "$dir/httpd.conf";
    my @command = (apxs('SBINDIR') . '/' . apxs('PROGNAME'), '-t', '-d', $dir, '-f', $file);

    open my $out, '>:encoding(UTF-8)', $file or die "$file: $!\n";
    print $out $conf;
    close $out;

    my $pid = open(my $from, '-|') // die "fork: $!\n";
    if ($pid == 0) {
        open STDERR, '>&', \*STDOUT;
        become_ordinary() if $> == 0;
        delete @ENV{grep { /^(DAPR|APP_API|PG)/ } keys %ENV};
        exec @command or die "$command[0]: $!\n";
    }
    my $said = do { local $/; <$from> } // '';
    close $from;
    return ($? >> 8, $said);
}

sub become_ordinary {
    my ($uid, $gid) = (getpwnam('nobody'))[2, 3];

    $) = "$gid $gid";
    setgid($gid);
    setuid($uid);
    die "this is still root\n" if $> == 0;
}

1;
